"""Look into a project's FiftyOne dataset, and set tags, in a process of its own: `python -m tests.review.look TAGS`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pipeline.core.store import Store
from pipeline.review.app import CACHE, start_database
from pipeline.review.samples import read_samples


def main(tags: dict[str, list[str]]) -> None:
    """Print what the dataset holds, as JSON, and add tags to its samples."""
    root = Path.cwd()
    samples = read_samples(Store(root), ["demo"], "clip")
    start_database(root)
    from pipeline.review import session  # noqa: PLC0415 - imports fiftyone, after its settings

    dataset = session.prepare(root, samples, root / CACHE / "pictures")
    names = ["image_id", "tags", "decision", "diagnosis.label", "excluded", "filepath"]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*dataset.values(names), strict=True)]
    views = {name: dataset.load_saved_view(name).values("image_id") for name in dataset.list_saved_views()}
    points = dataset.load_brain_results("embeddings").points.tolist()
    print(json.dumps({"rows": {row["image_id"]: row for row in rows}, "views": views, "points": points}))
    for image_id, texts in tags.items():
        sample = dataset.one({"image_id": image_id})
        sample.tags = [*sample.tags, *texts]
        sample.save()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
