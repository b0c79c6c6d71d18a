"""`python -m bench.train`: how many images a second a member is trained on, beside the most that its network can take.

Three ways to train the same network for an epoch, with the same optimiser, layout and precision:

- `ours`: `pipeline.models.fit`, images kept in memory as small squares, augmented in whole batches; the one pass that
  decodes them is spread over the recipe's epochs.
- `synthetic`: the same loop on one batch that lies on the device: what the network costs.
- `timm`: timm's own data set, loader and augmentation on the same files, and a plain loop, as its users write it.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import timm
import torch
from timm.optim import create_optimizer_v2
from torch import Tensor, nn
from torch.nn import functional

from bench.command import parser, section, status_of, write_json
from bench.turns import LOADERS, Way, first_images, images_per_second, machine, report, table
from pipeline.core.shards import Pixels
from pipeline.models import members
from pipeline.models.batches import AUGMENTATIONS, ImageSet, load_images, stored_side
from pipeline.models.devices import prepare
from pipeline.models.fit import Examples, Inputs, fit
from pipeline.models.losses import make_loss
from pipeline.models.params import FineTuned
from pipeline.profiles import read_either
from pipeline.stages.train.params import TrainParams

OURS, SYNTHETIC, PEER = "ours", "synthetic", "timm"
CLASSES = 7
MEMBER = "lite0"  # whose recipe all have
SOME = 2  # validation images: scoring is no part of what is measured


def main(arguments: Sequence[str]) -> int:
    """Measure, print a table, and write a section of the JSON if asked."""
    made = parser("bench.train", __doc__, "--project", "--batch", "--profile", "--write")
    add = made.add_argument
    add("--backbones", nargs="+", default=["tf_efficientnet_lite0", "resnet50", "densenet121"], help="timm names")
    add("--images", type=int, default=512, help="of an epoch (default: 512)")
    add("--side", type=int, default=96, help="pixels of the input (default: 96)")
    add("--batch-size", type=int, default=32, help="images a step (default: 32)")
    add("--precision", choices=["fp32", "bf16"], default="fp32", help="of the passes forward (default: fp32)")
    add("--turns", type=int, default=3, help="of which the best counts (default: 3)")
    options = made.parse_args(arguments)
    return status_of(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    tree = read_either(options.profile)
    of_profile = section(tree, "train", TrainParams, instance=f"{MEMBER}-{tree['arms'][0]}-{tree['seeds'][0]}").member
    assert isinstance(of_profile, FineTuned)  # noqa: S101 - lite0 is
    found = {}
    with TemporaryDirectory() as scratch:
        for backbone in options.backbones:
            changes = {"backbone": backbone, "side_pixels": options.side, "batch_size": options.batch_size}
            recipe = of_profile.model_copy(update={**changes, "precision": options.precision})
            found[backbone] = measure(recipe, options, Path(scratch) / backbone)
    print(table(found))
    names = ("images", "side", "batch_size", "precision")
    terms = {name: getattr(options, name) for name in names} | {"device": machine(), "epochs": of_profile.epochs}
    write_json(options.write, lambda whole: whole | {"train": terms | {"backbones": found}}, in_order=True)


def measure(recipe: FineTuned, options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Measure one network."""
    device = prepare("auto")
    build = partial(
        members.build, recipe.backbone, classes=CLASSES, side_pixels=recipe.side_pixels, weights=None, seed=0
    )
    preprocessing = build().preprocessing
    pixels = first_images(options.project, options.batch, options.images)
    scratch.mkdir()
    actual = np.random.default_rng(0).integers(0, CLASSES, len(pixels))
    augmentation = AUGMENTATIONS[recipe.augmentation]

    network = build().module.to(device, memory_format=torch.channels_last)

    def epoch(inputs: Inputs) -> None:
        learnt = _examples(inputs, actual)
        once = recipe.model_copy(update={"epochs": 1, "warmup_epochs": 0})
        checkpoint = scratch / "checkpoint.pt"
        checkpoint.unlink(missing_ok=True)
        loss = make_loss("cross_entropy", torch.full((CLASSES,), 1 / CLASSES))
        fit(network, learnt, learnt.take(np.arange(SOME)), once, loss, seed=0, checkpoint=checkpoint)

    def decoded() -> ImageSet:
        side = stored_side(recipe.side_pixels, augmentation)
        stored = load_images(pixels, side, preprocessing, scratch=scratch, label="train")
        return ImageSet(stored, recipe.side_pixels, preprocessing, augmentation, device)

    kept = decoded()
    still = kept(torch.arange(recipe.batch_size), torch.Generator().manual_seed(0))  # cut to the input's side

    def ours() -> int:
        epoch(kept)
        return len(pixels)

    def synthetic() -> int:
        epoch(lambda rows, _: still[: len(rows)])
        return len(pixels)

    peer = _plain_loop(recipe, pixels, actual, folder=scratch / "files", device=device, network=build().module)
    found = images_per_second({OURS: ours, SYNTHETIC: synthetic, PEER: peer}, turns=options.turns)
    decoding = images_per_second({"decode": lambda: len(decoded())}, turns=options.turns)["decode"]
    found[OURS] = 1 / (1 / found[OURS] + 1 / decoding / recipe.epochs)
    return report(found, OURS) | {"decoded_per_second": round(decoding)}


def _examples(inputs: Inputs, actual: np.ndarray[Any, Any]) -> Examples:
    target = torch.eye(CLASSES)[torch.from_numpy(actual)]
    return Examples(inputs, target, torch.ones(len(actual)), torch.ones(len(actual)))


def _plain_loop(
    recipe: FineTuned,
    pixels: Pixels,
    actual: np.ndarray[Any, Any],
    *,
    folder: Path,
    device: torch.device,
    network: nn.Module,
) -> Way:
    """Lay files out in folders of classes, and return an epoch of timm's loader and a plain loop on them."""
    for position, of_class in enumerate(actual.tolist()):
        path = folder / str(of_class) / f"{position:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pixels.read(position))
    bounds = AUGMENTATIONS[recipe.augmentation]
    assert bounds is not None  # noqa: S101 - the profile's member has one
    loader = timm.data.create_loader(
        timm.data.create_dataset("", root=str(folder)),
        input_size=(3, recipe.side_pixels, recipe.side_pixels),
        batch_size=recipe.batch_size,
        is_training=True,
        use_prefetcher=device.type == "cuda",
        scale=(bounds.min_area, 1.0),
        ratio=(1 / bounds.max_aspect, bounds.max_aspect),
        vflip=0.5,
        color_jitter=bounds.brightness,
        num_workers=LOADERS,
        device=device,
    )
    network.to(device, memory_format=torch.channels_last).train()
    optimiser = create_optimizer_v2(
        network, recipe.optimizer, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    seen = math.floor(len(actual) / recipe.batch_size) * recipe.batch_size  # the loader drops what fills no batch

    def epoch() -> int:
        for batch, labels in loader:
            inputs: Tensor = batch.to(device, memory_format=torch.channels_last)
            with torch.amp.autocast(device.type, dtype=torch.bfloat16, enabled=recipe.precision == "bf16"):
                logits = network(inputs)
            loss = functional.cross_entropy(logits.float(), labels.to(device))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        return seen

    return epoch


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
