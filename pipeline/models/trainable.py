"""What of a network is trained: all of it, or a linear head on what the frozen rest says of each image.

The head costs one forward pass an image and then seconds, so it is the member for machines without an accelerator. Both
ways end with a whole network that holds the result, or with one a fold: k-fold cross-validation on train whose folds no
group crosses. The networks of the folds predict by their mean, and train by the one that never saw the image's group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.errors import UserError
from pipeline.core.folds import assign_folds
from pipeline.core.params import Device
from pipeline.core.progress import track
from pipeline.core.store import Store
from pipeline.models.batches import VIEWS, ImageSet
from pipeline.models.devices import prepare
from pipeline.models.fit import Epoch, Examples, Inputs, fit, predict
from pipeline.models.linear import fit_path
from pipeline.models.losses import Loss, make_loss
from pipeline.models.params import FineTuned, Head, LossName, Member, OnPixels

Probabilities = NDArray[np.float64]
FEATURE_BATCH = 64
LEAST_IMAGES = 2  # to learn from, or batch normalisation has nothing to normalise
TRAIN, AS_JUDGED = "train", "train as judged"  # images to learn from; the same, as they are when they are predicted


@dataclass(frozen=True)
class Targets:
    """What is to be learnt of images, or scored on them.

    target: (n, classes) float32, how far each image counts as each class; rows sum to 1.
    weight: (n,) float32, in the loss.
    draws: (n,) float32, how often it comes in an epoch, on average.
    """

    target: NDArray[np.float32]
    weight: NDArray[np.float32]
    draws: NDArray[np.float32]

    @classmethod
    def of_classes(cls, actual: NDArray[np.integer], classes: int, weight: NDArray[np.float32]) -> Targets:
        """Make targets of one class an image (n,), each drawn once an epoch."""
        return cls(np.eye(classes, dtype=np.float32)[actual], weight, np.ones(len(actual), np.float32))

    def take(self, rows: NDArray[np.integer]) -> Targets:
        """Choose some of them."""
        return Targets(self.target[rows], self.weight[rows], self.draws[rows])

    def examples(self, inputs: Inputs) -> Examples:
        """Pair some form of the images with them."""
        return Examples(inputs, *(torch.tensor(values) for values in (self.target, self.weight, self.draws)))


@dataclass(frozen=True)
class Part:
    """One split: images, and what is to be learnt of them."""

    images: ImageSet
    targets: Targets


Parts = Mapping[str, Part]  # by split: train, validation, test; of folds also AS_JUDGED


@dataclass(frozen=True)
class Plan:
    """How a member is trained, whatever it is.

    member: its recipe if it has one, and how many folds.
    loss: which.
    seed: of everything random.
    scratch: folder that keeps finished epochs.
    groups: (n,) group number of each train image; read where there are folds.
    """

    member: Member
    loss: LossName
    seed: int
    scratch: Path
    groups: NDArray[np.intp] | None = None


@dataclass(frozen=True)
class Trained:
    """A member: one network, or one a fold.

    networks: of which each is whole.
    histories: of each.
    probabilities: (rows, classes) by split: validation, test; where there are folds also train, out of fold.
    """

    networks: list[nn.Module]
    histories: Sequence[Sequence[Epoch]]
    probabilities: dict[str, Probabilities]


def train_all(fresh: Callable[[], nn.Module], parts: Parts, plan: Plan) -> Trained:
    """Train every layer of a network, or of one a fold, each from a `fresh` one."""
    recipe = plan.member
    assert isinstance(recipe, FineTuned)  # noqa: S101 - another kind has no recipe, and its own function here

    def learn(examples: Mapping[str, Examples], checkpoint: Path) -> Trained:
        network, learnt = fresh(), examples[TRAIN]
        network.to(memory_format=torch.channels_last)  # twice as fast on a CPU as the default layout
        loss, stops = _loss(plan, learnt), examples["validation"]
        history = fit(network, learnt, stops, recipe, loss, seed=plan.seed, checkpoint=checkpoint)
        views = recipe.test_time_augmentation
        return Trained([network], [history], _predicted(network, examples, batch_size=recipe.batch_size, views=views))

    return _in_folds(learn, {split: part.targets.examples(part.images) for split, part in parts.items()}, plan)


def train_head(fresh: Callable[[], nn.Module], parts: Parts, plan: Plan) -> Trained:
    """Train the classifier of a `fresh` network on what the frozen rest says of each image, which is computed once.

    Raises:
        UserError: the network's classifier is not linear.

    """
    network = fresh()
    classifier = network.get_classifier()
    if not isinstance(classifier, nn.Linear):
        name = network.default_cfg["architecture"]
        raise UserError(
            f"{name} has no linear classifier: set trainable: all in params.yaml, or choose another backbone"
        )
    assert isinstance(plan.member, Head)  # noqa: S101 - see train
    half = plan.member.precision == "bf16"
    computed = {
        split: features(network, part.images, label=split, half=half)
        for split, part in parts.items()
        if split != AS_JUDGED  # nothing is augmented
    }
    targets = {split: parts[split].targets for split in computed}
    linear = train_linear(lambda: deepcopy(classifier), computed, targets, plan)
    whole = [network, *(fresh() for _ in linear.networks[1:])]
    for each, head in zip(whole, linear.networks, strict=True):
        each.get_classifier().load_state_dict(head.state_dict())
    return replace(linear, networks=whole)


def train_linear(
    fresh: Callable[[], nn.Linear], inputs: Mapping[str, Tensor], targets: Mapping[str, Targets], plan: Plan
) -> Trained:
    """Train a linear layer on features.

    Args:
        fresh: makes what to train.
        inputs: by split, float32 of shape (images, features), on the device.
        targets: by split, of the same images.
        plan: how.

    Raises:
        UserError: a feature is not finite, or a fold leaves nothing to learn from.

    """
    for split, matrix in inputs.items():
        if not matrix.isfinite().all():
            raise UserError(f"features of {split} hold numbers that are not finite: choose other weights")

    def learn(examples: Mapping[str, Examples], checkpoint: Path) -> Trained:
        del checkpoint  # it takes seconds
        raw = {split: each.inputs(torch.arange(len(each.target)), None) for split, each in examples.items()}
        head, learnt = fresh(), examples[TRAIN]
        history = fit_path(head, raw, learnt, examples["validation"].actual, _loss(plan, learnt))
        return Trained([head], [history], _predicted(head, examples, batch_size=FEATURE_BATCH))

    examples = {split: targets[split].examples(_lookup(matrix)) for split, matrix in inputs.items()}
    return _in_folds(learn, examples, plan)


def train_probe(
    features: Mapping[str, NDArray[np.float32]], targets: Mapping[str, Targets], plan: Plan, *, device: Device
) -> Trained:
    """Train a linear layer, or one a fold, on what `embed` wrote, and let it predict validation and test.

    Args:
        features: by split, (images, features).
        targets: by split, of the same images.
        plan: how.
        device: where to train.

    Raises:
        UserError: a feature is not finite, or a fold leaves nothing to learn from.

    """
    place = prepare(device)
    widths = features[TRAIN].shape[1], targets[TRAIN].target.shape[1]
    inputs = {split: torch.tensor(matrix, device=place) for split, matrix in features.items()}
    return train_linear(lambda: nn.Linear(*widths).to(place), inputs, targets, plan)


def train(fresh: Callable[[], nn.Module], parts: Parts, plan: Plan) -> Trained:
    """Train what of a `fresh` network the recipe says.

    Raises:
        UserError: its head is to be trained and is not linear, a fold leaves nothing to learn from, or training
            diverges.

    """
    return train_head(fresh, parts, plan) if isinstance(plan.member, Head) else train_all(fresh, parts, plan)


def weights_file(store: Store, member: OnPixels) -> Path | None:
    """Return the file that the member starts from; None: it starts from random weights.

    Raises:
        UserError: the file is not there.

    """
    return None if member.weights is None else store.input(f"data/raw/weights/{member.weights}")


def features(network: nn.Module, images: ImageSet, *, label: str, half: bool = False) -> Tensor:
    """Compute what the network's classifier would see: float32 of shape (images, width); by bf16 where `half`."""
    network.to(memory_format=torch.channels_last).eval()
    chunks = torch.arange(len(images)).split(FEATURE_BATCH)
    width = network.get_classifier().in_features
    with torch.inference_mode(), torch.amp.autocast(images.device.type, dtype=torch.bfloat16, enabled=half):
        chunked = [
            network.forward_head(network.forward_features(images(rows)), pre_logits=True).float()
            for rows in track(chunks, f"features of {label}", unit="batches")
            if len(rows)
        ]
    # A clone, because tensors of inference mode cannot take part in training.
    return torch.cat(chunked).clone() if chunked else torch.empty(0, width, device=images.device)


def _lookup(matrix: Tensor) -> Inputs:
    def inputs(rows: Tensor, generator: torch.Generator | None) -> Tensor:  # noqa: ARG001 - features are not augmented
        return matrix[rows.to(matrix.device)]

    return inputs


def _in_folds(
    learn: Callable[[Mapping[str, Examples], Path], Trained], examples: Mapping[str, Examples], plan: Plan
) -> Trained:
    """Train one network, or one without each fold of train's groups.

    Args:
        learn: trains one on `train`, stopped by `validation`, and predicts all the others; keeps epochs in a file.
        examples: by split; of folds AS_JUDGED too where train is augmented.
        plan: how.

    Raises:
        UserError: train holds one group, or a fold leaves fewer than LEAST_IMAGES to learn from.

    """
    everything, others = examples[TRAIN], {s: each for s, each in examples.items() if s not in {TRAIN, AS_JUDGED}}
    if plan.member.folds == 1:
        return learn({TRAIN: everything, **others}, plan.scratch / "checkpoint.pt")
    assert plan.groups is not None  # noqa: S101 - whoever asks for folds gives them
    count, judged = plan.member.folds, examples.get(AS_JUDGED, everything)
    held_by = assign_folds(everything.actual, plan.groups, np.ones(len(plan.groups), bool), count=count, seed=plan.seed)
    out_of_fold = np.empty(tuple(everything.target.shape))
    runs: list[Trained] = []
    for fold in range(held_by.max() + 1):
        learnt, held = np.flatnonzero(held_by != fold), np.flatnonzero(held_by == fold)
        check_learnt(len(learnt), fold, "set folds of the member to 1")
        parts = {TRAIN: everything.take(learnt), **others, AS_JUDGED: judged.take(held)}
        run = learn(parts, plan.scratch / f"fold-{fold}.pt")
        out_of_fold[held] = run.probabilities.pop(AS_JUDGED)
        runs.append(run)
    pooled = {split: np.mean([run.probabilities[split] for run in runs], axis=0) for split in others}
    return Trained(
        [run.networks[0] for run in runs], [run.histories[0] for run in runs], {TRAIN: out_of_fold, **pooled}
    )


def check_learnt(count: int, fold: int, remedy: str) -> None:
    """Refuse a fold, numbered from 0, that leaves fewer than LEAST_IMAGES to learn from."""
    if count < LEAST_IMAGES:
        raise UserError(
            f"a network would learn from {count} images in fold {fold + 1}, and needs {LEAST_IMAGES}: add images, or "
            f"{remedy}"
        )


def _loss(plan: Plan, learnt: Examples) -> Loss:
    """Return the plan's loss, which may want to know each class's share in what is learnt."""
    mass = (learnt.target * learnt.draws[:, None]).sum(0)
    return make_loss(plan.loss, mass / mass.sum())


def _predicted(
    network: nn.Module, examples: Mapping[str, Examples], *, batch_size: int, views: str = "none"
) -> dict[str, Probabilities]:
    """Let a network predict all but `train`: (rows, classes) by split."""
    return {
        split: predict(network, each.inputs, len(each.target), batch_size=batch_size, views=VIEWS[views])
        for split, each in examples.items()
        if split != TRAIN
    }
