"""Faults of the product that its tests must find: what is changed, and the tests that must fail then."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Fault:
    """One line of the product, made wrong.

    name: what the product would do.
    files: a glob below the project.
    old: a pattern that these files hold once, and what of it becomes what: as in `re.sub`.
    new: likewise.
    tests: patterns of the names of tests, each of which must fail.
    """

    name: str
    files: str
    old: str
    new: str
    tests: tuple[str, ...]


FAULTS = (
    Fault(
        "a copy is proven by a measurement that is NaN",
        "pipeline/stages/dedup/**/relations.py",
        r"(?s)residual, bending\)\):(.*?)bending <= (\S+)",
        r"residual)):\1not bending > \2",
        ("test_too_few_tiles_for_a_field_leave_a_pair_in_doubt_and_kept",),
    ),
    Fault(
        "duplicate_of names an image that is removed itself",
        "pipeline/stages/dedup/groups.py",
        r" and kept\[n\] == n\]",
        "]",
        ("test_a_chain_of_copies_removes_only_what_has_a_proof_against_the_kept_image",),
    ),
    Fault(
        "a group lies in two splits",
        "pipeline/core/grouping.py",
        r"return \[SPLITS\[rank\[group\]\] for group in groups\]",
        "return [unit_split(u, salt=salt, validation_share=validation_share, test_share=test_share) for u in units]",
        (
            "test_a_group_takes_the_most_protected_split_of_its_units",
            "test_adding_images_and_edges_never_makes_an_image_less_protected",
        ),
    ),
    Fault(
        "label_noise learns from test labels",
        "pipeline/stages/label_noise/*.py",
        r'(voter|reference)=\(split == "train"\) & ~removed',
        r"\1=~removed",
        ("test_examples_are_train_images_of_the_diagnosis_and_beyond_doubt",),
    ),
    Fault(
        "a logo that came forty times vouches for itself",
        "pipeline/stages/label_noise/outliers.py",
        r"    once = count_once\(vectors, reference\)",
        "    once = np.where(reference, 1.0, 0.0)",
        ("test_a_logo_that_is_most_of_the_set_counts_once",),
    ),
    Fault(
        "a test image that is off topic teaches what skin is",
        "pipeline/stages/label_noise/outliers.py",
        r"rows = np.flatnonzero\(reference\)",
        "rows = np.arange(len(reference))",
        ("test_an_image_out_of_train_is_judged_by_train_and_teaches_nothing",),
    ),
    Fault(
        "what judges a label has learnt it",
        "pipeline/core/folds.py",
        r"\(held_by == fold\) \|",
        "(held_by != fold) |",
        (r"test_no_(probe|classifier)_that_\w+_a_group_saw_its_labels",),
    ),
    Fault(
        "the automatic policy takes images out of the test set",
        "pipeline/stages/rebalance/arms.py",
        r"policed = train & \(arm\.label_policy",
        "policed = (arm.label_policy",
        (
            "test_validation_and_test_are_the_same_in_every_arm",
            "test_the_policy_takes_out_train_images_at_and_above_its_thresholds_only",
        ),
    ),
    Fault(
        "an image is in no table of an arm",
        "pipeline/stages/rebalance/arms.py",
        r'(return \w+\.loc\[\w+\["reason"\] != "", \[.*\]\])',
        r"\1.iloc[1:]",
        ("test_every_image_is_selected_or_excluded",),
    ),
    Fault(
        "an arm without decisions relabels",
        "pipeline/stages/rebalance/arms.py",
        r'facts\["audited"\]\.where\(heard, facts\["given"\]\)',
        'facts["audited"]',
        ("test_raw_keeps_every_train_image_in_scope_with_its_given_label",),
    ),
    Fault(
        "class weights count validation and test images",
        "pipeline/stages/rebalance/arms.py",
        r'chosen\.loc\[train, "weight"\], (.*) = weight, draws\n',
        r'every = balance_classes(target.astype(float), chosen["factor"].to_numpy(), balance)[0]\n'
        r'    chosen.loc[train, "weight"], \1 = every[train] / every[train].mean(), draws\n',
        ("test_classes_weigh_alike_by_their_train_images_alone",),
    ),
    Fault(
        "a reject has no reason",
        "pipeline/stages/ingest/packing.py",
        r"reject\.source_id, reject\.reason, reject\.detail",
        'reject.source_id, "", reject.detail',
        ("test_bad_input_is_accounted_for_and_the_run_goes_on",),
    ),
    Fault(
        "a raw row that is no image is dropped without a reject",
        "pipeline/stages/ingest/packing.py",
        r"rejects\.append\(Reject\(entry\.source_id, error\.reason, error\.detail\)\)",
        "del error",
        ("test_bad_input_is_accounted_for_and_the_run_goes_on",),
    ),
    Fault(
        "a line of the ledger that was edited is read",
        "pipeline/ledger/decisions.py",
        r"if previous_hash != _digest\(previous\):",
        "if not previous_hash:",
        ("test_a_changed_line_is_named",),
    ),
    Fault(
        "a decision outlives the image that it was made on",
        "pipeline/ledger/replay.py",
        r"if sha256 != decision\.sha256:",
        "if not sha256:",
        ("test_a_decision_on_changed_bytes_is_stale",),
    ),
    Fault(
        "another steward's verdict overwrites the first one's",
        "pipeline/ledger/replay.py",
        r"if len\(\{decision\.meaning for _, decision in standing\}\) > 1:",
        "if not standing:",
        ("test_another_stewards_other_verdict_makes_a_dispute_in_which_nothing_holds",),
    ),
    Fault(
        "a ledger that does not extend what is committed is taken for whole",
        "pipeline/ledger/history.py",
        r"if content\.startswith\(committed\):",
        "if committed:",
        ("test_every_tampering_with_a_committed_ledger_is_found",),
    ),
    Fault(
        "an ensemble is fitted on test labels",
        "pipeline/stages/evaluate/stage.py",
        r'ensembles\(models, params.arms, params.ensemble, truth\["validation"\], folded\)',
        'ensembles(models, params.arms, params.ensemble, truth["test"], folded)',
        ("test_test_labels_change_nothing_that_is_fitted",),
    ),
    Fault(
        "a member is calibrated on test labels",
        "pipeline/stages/evaluate/stage.py",
        r'calibrate\(p, truth\["validation"\]\)',
        'calibrate(p, truth["test"])',
        ("test_test_labels_change_nothing_that_is_fitted",),
    ),
    Fault(
        "the best member is chosen on test",
        "pipeline/stages/evaluate/summary.py",
        r'figures = members\[member\]\[arm\]\["validation"\]',
        'figures = members[member][arm]["test"]',
        ("test_the_best_member_is_chosen_on_validation_alone",),
    ),
    Fault(
        "what is said of train out of fold comes from networks that saw it",
        "pipeline/models/trainable.py",
        r"learnt, held = np.flatnonzero\(held_by != fold\)",
        "learnt, held = np.arange(len(held_by))",
        ("test_no_label_of_a_lesion_has_a_part_in_what_is_said_of_it_out_of_fold",),
    ),
    Fault(
        "a resumed training forgets the moving average of its weights",
        "pipeline/models/fit.py",
        r'self\.average\.module\.load_state_dict\(state\["average"\]\)',
        "pass",
        ("test_a_killed_run_ends_with_the_same_weights",),
    ),
    Fault(
        "an ensemble joins members of another seed",
        "pipeline/stages/evaluate/ensemble.py",
        r"if \(model.arm, model.seed\) == \(arm, seed\)",
        "if model.arm == arm",
        ("test_members_are_joined_within_their_seed",),
    ),
)


def plant(fault: Fault, root: Path) -> None:
    """Change the product below `root`.

    Raises:
        LookupError: the files do not hold the pattern exactly once.

    """
    holding = [path for path in sorted(root.glob(fault.files)) if re.search(fault.old, path.read_text("utf-8"))]
    if len(holding) != 1:
        raise LookupError(f"{fault.name}: {len(holding)} files of {fault.files} hold {fault.old!r}, not one")
    text, count = re.subn(fault.old, fault.new, holding[0].read_text("utf-8"))
    if count != 1:
        raise LookupError(f"{fault.name}: {holding[0].relative_to(root)} holds {fault.old!r} {count} times, not once")
    holding[0].write_text(text, "utf-8")


def ids(fault: Fault, root: Path) -> list[str]:
    """List the ids of the tests that must fail, one a pattern.

    Raises:
        LookupError: a pattern names no test, or several.

    """
    texts = {path: path.read_text("utf-8") for path in sorted(root.glob("tests/**/test_*.py"))}
    found = []
    for pattern in fault.tests:
        named = [
            f"{path.relative_to(root)}::{name}"
            for path, text in texts.items()
            for name in re.findall(r"^def (test_\w+)\(", text, re.MULTILINE)
            if re.fullmatch(pattern, name)
        ]
        if len(named) != 1:
            raise LookupError(f"{fault.name}: {pattern} names {named or 'no test'}, not one")
        found += named
    return found
