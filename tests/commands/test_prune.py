from __future__ import annotations

from pathlib import Path

from pipeline.commands.prune import prune

TREE = {"batches": ["demo"], "encoders": ["clip", "lite0"], "arms": ["raw"], "members": ["one"], "seeds": [0, 1]}
LISTED = ["data/ingest/demo/images.parquet", "data/embed/clip/demo/e.parquet", "data/rebalance/raw/selection.parquet"]
LISTED += ["data/train/one-raw-0/p.parquet", "data/train/one-raw-1/p.parquet", "reports/ingest/demo.json"]
LISTED += ["data/dedup/groups.parquet", "reports/dedup/summary.json", "reports/dedup/pictures/a.jpg"]
LISTED += ["data/embed/lite0/demo/e.parquet", "data/mine/old/a.txt"]
LISTED += ["data/raw/old/a.jpg", "data/truth/old.csv", "reports/evaluate/metrics.json"]
UNLISTED = ["data/ingest/old/images.parquet", "data/fingerprint/old/f.parquet", "data/rebalance/curated/s.parquet"]
UNLISTED += ["data/embed/clip/old/e.parquet", "data/embed/gone/demo/e.parquet", "data/embed/demo/e.parquet"]
UNLISTED += ["data/opinions/demo/opinions.parquet", "data/cross_fit/out_of_fold.parquet"]
UNLISTED += ["data/train/two-raw-0/p.parquet", "data/train/one-raw-2/p.parquet", "reports/ingest/old.json"]


def make(root: Path, names: list[str]) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x", "utf-8")


def test_only_what_params_do_not_list_is_removed(tmp_path: Path) -> None:
    make(tmp_path, LISTED + UNLISTED)
    removed = prune(tmp_path, TREE)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set(LISTED)
    assert tmp_path / "data/train/two-raw-0" in removed
    assert len(removed) == len(UNLISTED)


def test_pruning_again_removes_nothing(tmp_path: Path) -> None:
    make(tmp_path, LISTED + UNLISTED)
    prune(tmp_path, TREE)
    assert prune(tmp_path, TREE) == []


def test_a_project_that_never_ran_has_nothing_to_prune(tmp_path: Path) -> None:
    assert prune(tmp_path, TREE) == []
