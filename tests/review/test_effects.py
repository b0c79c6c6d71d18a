from __future__ import annotations

import numpy as np
import pytest

from pipeline.ledger.decisions import PAIR_VERDICTS, Decision
from pipeline.review.effects import Curated, build, changed, complete, prepare, without_effect
from pipeline.stages.replay.params import ReplayParams
from tests.ledger.made import decision
from tests.stages.rebalance import made

KNOWN = made.images(120)
PAIRS = [(f"b:{i:04d}", f"b:{i + 1:04d}", "copy") for i in range(0, 60, 4)] + [
    (f"b:{i:04d}", f"b:{i + 7:04d}", "same_lesion") for i in range(61, 110, 10)
]
CURATED = Curated(
    images=KNOWN,
    groups=made.groups(KNOWN, PAIRS),
    duplicates=made.duplicates(PAIRS)[0],
    scores=made.scores(KNOWN).assign(suggested_probability=0.5),
    replay=ReplayParams(batches=["b"], second_signature=True, until=None),
    rebalance=made.params(),
    diagnoses=["melanoma", "nevus"],
    digest="digest",
)
GIVEN = KNOWN.set_index("image_id")["diagnosis"].to_dict()


def draw(rng: np.random.Generator, seq: int) -> Decision:
    """Draw a decision of one steward; pairs near each other, so that they meet the groups."""
    verdict = ("keep", "relabel", "drop", "not_sure", *PAIR_VERDICTS, "withdraw")[rng.integers(8)]
    image = int(rng.integers(118))
    name, other = f"b:{image:04d}", ""
    if verdict in PAIR_VERDICTS or (verdict == "withdraw" and rng.integers(2)):
        other = f"b:{image + int(rng.integers(1, 3)):04d}"
    given = GIVEN[name] if verdict in {"keep", "relabel", "not_sure"} else ""
    to = ("melanoma" if given != "melanoma" else "nevus") if verdict == "relabel" else ""
    return decision(name, verdict, given=given, to=to, other_image_id=other, seq=seq)


@pytest.mark.parametrize("seed", range(6))
def test_what_is_said_to_change_is_what_a_whole_build_changes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ledger = [draw(rng, seq) for seq in range(2, 60)]
    for seq in range(60, 66):
        new = draw(rng, seq)
        before, after = build(CURATED, ledger), build(CURATED, [*ledger, new])
        expected = "; ".join(changed(before.rows, after.rows))
        said = complete(CURATED, ledger, new).effect
        for known in (ledger, ledger[:-1]):  # prepared while the steward looks, or for a ledger that has grown since
            prepared = prepare(CURATED, known, new.subject)
            assert complete(CURATED, ledger, new, prepared).effect == said
        assert said == expected if expected else said.startswith("changes nothing: ")
        ledger.append(new)


def test_a_decision_without_effect_is_one_whose_images_are_what_they_were() -> None:
    groups = CURATED.groups.set_index("image_id")
    copy = groups.index[groups["duplicate_of"].notna() & (groups["split"] == "train")][0]
    rows = build(CURATED, []).rows
    there = rows.index[(rows["reason"] == "") & (rows["split"] == "train")][0]
    ledger = [decision(copy, "drop", seq=2), decision(there, "drop", seq=3)]
    assert without_effect(CURATED, ledger) == [True, False]


def test_what_was_shown_is_filled_in() -> None:
    scored = CURATED.scores.iloc[0]
    shown = complete(CURATED, [], decision(scored["image_id"], "drop"))
    assert (shown.suggested, shown.tables) == (scored["suggested"], "digest")
    assert float(shown.posterior) == pytest.approx(scored["error_probability"])
    unscored = str(next(image for image, diagnosis in GIVEN.items() if diagnosis == "eczema"))
    assert complete(CURATED, [], decision(unscored, "drop")).suggested == ""
