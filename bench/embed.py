"""`python -m bench.embed`: how many images a second an encoder describes, beside the most that its network can take.

- `ours`: `pipeline.stages.embed`, from the shards to vectors and layers.
- `synthetic`: the same network, layers and batches, on pixels that lie on the device: what the network costs.
- `plain loop`: open_clip's or timm's own preprocessing in torch's DataLoader on the same images, and the same network
  without our layers, as its users write it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch.utils.data import DataLoader

from bench.command import parser, section, status_of, write_json
from bench.turns import LOADERS, first_images, images_per_second, machine, report, table
from pipeline.core.shards import Pixels
from pipeline.models.devices import prepare
from pipeline.profiles import read_either
from pipeline.stages.embed.encoders import Spec, Transform, load
from pipeline.stages.embed.encoding import encode
from pipeline.stages.embed.layers import look
from pipeline.stages.embed.params import EmbedParams

OURS, SYNTHETIC, PEER = "ours", "synthetic", "plain loop"


class Files:
    """Images as a DataLoader takes them."""

    def __init__(self, pixels: Pixels, transform: Transform) -> None:
        self.pixels, self.transform = pixels, transform

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, position: int) -> torch.Tensor:
        return self.transform(Image.fromarray(self.pixels[position]))


def main(arguments: Sequence[str]) -> int:
    """Measure, print a table, and write a section of the JSON if asked."""
    made = parser("bench.embed", __doc__, "--project", "--batch", "--profile", "--weights", "--write")
    made.add_argument("--images", type=int, default=256, help="of a turn (default: 256)")
    made.add_argument("--turns", type=int, default=3, help="of which the best counts (default: 3)")
    made.add_argument("--batch-size", type=int, help="images in one pass (default: the profile's)")
    options = made.parse_args(arguments)
    return status_of(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    tree = read_either(options.profile)
    params = section(tree, "embed", EmbedParams, instance=f"{tree['encoders'][0]}-{tree['batches'][0]}")
    size = options.batch_size or params.batch_size
    device = prepare("auto", threads=os.cpu_count())
    spec = Spec.of(params.model_copy(update={"device": device.type}), options.weights)
    pixels = first_images(options.project, options.batch, options.images)
    encoder = load(spec)
    loader: DataLoader[torch.Tensor] = DataLoader(
        Files(pixels, encoder.transform), batch_size=size, num_workers=LOADERS
    )
    with torch.inference_mode():
        lying = [batch.to(encoder.device, encoder.dtype) for batch in loader]

    def ours() -> int:
        encode(pixels, spec, batch_size=size)
        return len(pixels)

    def synthetic() -> int:
        with torch.inference_mode():
            for batch in lying:
                look(encoder.network, batch, spec.layers)
        return len(pixels)

    def plain() -> int:
        with torch.inference_mode():
            for batch in loader:
                look(encoder.network, batch.to(encoder.device, encoder.dtype), ())
        return len(pixels)

    found = report(images_per_second({OURS: ours, SYNTHETIC: synthetic, PEER: plain}, turns=options.turns), OURS)
    print(table({params.encoder.model: found}))
    terms = {"device": machine(), "batch_size": size, "side": params.encoder.side_pixels, "precision": spec.precision}
    entry: dict[str, Any] = {params.encoder.model: terms | found}
    write_json(options.write, lambda whole: whole | {"embed": whole.get("embed", {}) | entry}, in_order=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
