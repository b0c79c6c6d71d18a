from __future__ import annotations

from pathlib import Path

from pipeline.commands.tables import PLACE, describe, document, tables_of
from pipeline.params import STAGES
from pipeline.stages.dedup.tables import Duplicates
from pipeline.stages.ingest.tables import Images

ROOT = Path(__file__).parent.parent.parent


def test_the_document_in_the_repository_is_fresh() -> None:
    assert (ROOT / PLACE).read_text("utf-8") == document(), "run `python -m pipeline tables`"


def test_every_table_and_column_is_described() -> None:
    text = document()
    found = [table for stage in STAGES for table in tables_of(stage)]
    assert {"Images", "Rejects", "Groups", "Selection", "Predictions"} <= {table.__name__ for table in found}
    for table in found:
        assert f"## {table.__name__}" in text
        assert all(f"| `{column.name}` |" in describe(table) for column in table.columns)


def test_a_description_says_place_key_choices_and_what_may_be_missing() -> None:
    images, duplicates = describe(Images), describe(Duplicates)
    assert "`data/ingest/<batch>/images.parquet`, key: `image_id`" in images
    assert "| `age` | number, may be missing |" in images
    assert "`data/dedup/duplicates.parquet`, key: `a`, `b`" in duplicates
    assert "(one of `copy`, `same_lesion`)" in duplicates
    assert "| `transform` | vector of float |" in duplicates
