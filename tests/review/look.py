"""Look into a project's FiftyOne dataset, and set tags, in a process of its own: `python -m tests.review.look TAGS`.

A tag that begins with @ is set on the label, without it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pipeline.ledger.decisions import BROWSING
from pipeline.review.app import desk_folder, list_cases, read_all, start_database
from pipeline.review.desk import Desk
from pipeline.review.shown import open_tables


def main(tags: dict[str, list[str]]) -> None:
    """Print what the dataset holds, as JSON, and add tags to its samples."""
    root = Path.cwd()
    tables, folder = open_tables(root), desk_folder(root, "Dr. A")
    samples = read_all(tables, whole=True)
    start_database(root, folder)
    from pipeline.review import session  # noqa: PLC0415 - imports fiftyone, after its settings

    cases = list_cases(tables, BROWSING, "Dr. A", samples)
    desk = Desk(root, folder, steward="Dr. A", queue=BROWSING, cases=cases, tables=tables)
    dataset = session.prepare(desk, samples)
    names = ["image_id", "tags", "decision", "diagnosis.label", "excluded", "filepath"]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*dataset.values(names), strict=True)]
    views = {name: dataset.load_saved_view(name).values("image_id") for name in dataset.list_saved_views()}
    points = dataset.load_brain_results("embeddings").points.tolist()
    shown = {"rows": {row["image_id"]: row for row in rows}, "views": views, "points": points}
    named = {"fields": list(dataset.get_field_schema()), "brain_runs": dataset.list_brain_runs()}
    print(json.dumps(shown | named))
    for image_id, texts in tags.items():
        sample = dataset.one({"image_id": image_id})
        for text in texts:
            (sample.diagnosis if text.startswith("@") else sample).tags.append(text.removeprefix("@"))
        sample.save()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
