"""Pictures for tests: a lesion with the texture of skin, drawn from a seed."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from pipeline.core.shards import ShardWriter
from pipeline.core.store import Store
from pipeline.stages.ingest.normalise import pixel_digest
from pipeline.stages.ingest.tables import Images


def lesion(seed: int, *, width: int = 200, height: int = 150) -> NDArray[np.uint8]:
    """Draw skin with a dark, irregular, dotted lesion: (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    skin = np.array([215.0, 160.0, 140.0]) + rng.normal(0, 12, 3)
    image = np.ones((height, width, 3)) * skin
    for sigma, strength in ((2, 20), (6, 45), (25, 160)):
        noise = cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (0, 0), sigma)
        image += (noise * strength)[..., None]
    y, x = np.mgrid[:height, :width]
    angle = np.arctan2(y - height / 2, x - width / 2)
    edge = 1 + 0.25 * np.sin(angle * rng.integers(2, 6) + rng.uniform(0, 6)) + 0.1 * np.sin(angle * 7)
    inside = np.hypot(x - width / 2, y - height / 2) / (edge * height * rng.uniform(0.2, 0.35))
    image -= (np.clip(1.5 - inside, 0, 1) * rng.uniform(60, 110))[..., None] * np.array([0.8, 1.0, 1.0])
    for _ in range(60):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(image, centre, int(rng.integers(1, 4)), (skin * rng.uniform(0.3, 0.9)).tolist(), -1, cv2.LINE_AA)
    return np.clip(image, 0, 255).astype(np.uint8)


def jpeg(image: NDArray[np.uint8], quality: int = 92) -> bytes:
    """Encode as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def png(image: NDArray[np.uint8]) -> bytes:
    """Encode as PNG, without loss."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def ingest(root: Path, contents: dict[str, bytes], *, batch: str = "demo", **columns: list[str | None]) -> Store:
    """Write pictures, by source id, into a shard and the table Images, as ingest does; return a store on `root`."""
    store = Store(root)
    rows = []
    with ShardWriter(root / f"data/ingest/{batch}/000000.tar") as writer:
        for i, (source_id, content) in enumerate(contents.items()):
            with Image.open(io.BytesIO(content)) as image:
                width, height = image.size
                pixels = pixel_digest(image)
            row = {column.name: None for column in Images.columns} | {
                "image_id": f"{batch}:{source_id}",
                "sha256": hashlib.sha256(content).hexdigest(),
                "pixel_sha256": pixels,
                "stored_sha256": hashlib.sha256(content).hexdigest(),
                "stored_as": "received",
                "shard": "000000.tar",
                "offset": writer.add(f"{i:06d}", "jpg", content, {}),
                "size": len(content),
                "width": width,
                "height": height,
                "diagnosis": "nevus",
                "raw_label": "nv",
                "licence": "CC0-1.0",
                "attribution": "drawn",
            }
            rows.append(row | {name: values[i] for name, values in columns.items()})
    frame = pd.DataFrame(rows).astype({"age": "float64"})
    store.write(Images, frame, instance=batch)
    return store
