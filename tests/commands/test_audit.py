from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pipeline.commands import audit
from pipeline.commands.audit import WRONG, count, sentences
from pipeline.ledger import file
from pipeline.stages.ingest.tables import Images
from pipeline.stages.label_noise.audit_sample import draw_sample
from pipeline.stages.label_noise.tables import AuditSample, SuspectQueue
from tests.ledger.made import decision
from tests.review.made import project

NO_QUEUE = pd.DataFrame({"image_id": [], "place": [], "minutes_so_far": [], "errors_so_far": []})


def planted(images: int = 2000, looks: int = 300) -> tuple[pd.DataFrame, set[str], NDArray[np.bool_]]:
    """Draw a sample of images of which a tenth is wrong, the doubtful ones the more often."""
    rng = np.random.default_rng(0)
    probability = rng.beta(0.3, 2.0, images)
    wrong = rng.uniform(size=images) < probability
    drawn = draw_sample(probability, count=looks, strata=3, rng=rng)
    frame = {"image_id": [f"b:{i}" for i in drawn.images], "place": range(1, looks + 1), "stratum": drawn.stratum}
    frame["stratum_images"] = drawn.sizes[drawn.stratum]
    return pd.DataFrame(frame), {f"b:{i}" for i in range(images)}, wrong


def answers(sample: pd.DataFrame, wrong: NDArray[np.bool_]) -> dict[str, str]:
    return {image: WRONG if wrong[int(image[2:])] else "right" for image in sample["image_id"]}


def test_the_errors_that_there_are_lie_in_the_interval() -> None:
    sample, asked, wrong = planted()
    found = count(sample, NO_QUEUE, asked, answers(sample, wrong))
    assert found.low is not None
    assert found.high is not None
    assert found.low < wrong.sum() < found.high
    assert found.looked_at == 300
    assert found.found == found.wrong == sum(wrong[int(image[2:])] for image in sample["image_id"])
    assert found.left == pytest.approx((found.errors or 0) - found.found)


def test_only_the_beginning_of_the_sample_counts() -> None:
    sample, asked, wrong = planted()
    said = answers(sample, wrong)
    del said[sample["image_id"][50]]
    assert count(sample, NO_QUEUE, asked, said).looked_at == 50
    said[sample["image_id"][50]] = "unknown"
    assert count(sample, NO_QUEUE, asked, said).looked_at == 299


def test_before_anybody_looked_nothing_is_known() -> None:
    sample, asked, _ = planted()
    found = count(sample, NO_QUEUE, asked, {})
    assert (found.errors, found.left, found.looked_at) == (None, None, 0)
    assert "not known before the sample is looked at" in sentences(found)[1]


def test_the_next_hour_is_what_the_queue_expects_of_what_is_not_decided() -> None:
    sample, asked, _ = planted()
    queue = pd.DataFrame({"image_id": [f"b:{i}" for i in range(4)], "place": [1, 2, 3, 4]})
    queue["minutes_so_far"], queue["errors_so_far"] = [20.0, 50.0, 70.0, 100.0], [0.9, 1.7, 2.4, 3.0]
    found = count(sample, queue, asked, {})
    assert [found.next_hour, found.minutes] == pytest.approx([1.7, 100])
    found = count(sample, queue, asked, {"b:1": "right"})
    assert [found.next_hour, found.minutes] == pytest.approx([1.6, 70])


def test_the_command_counts_what_stewards_decided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = project(tmp_path)
    images = store.read(Images, ["demo"]).set_index("image_id")
    names = [f"demo:{i:02d}" for i in (4, 5, 6, 7)]
    sample = {"image_id": names, "place": [1, 2, 3, 4], "stratum": [0] * 4, "stratum_images": [11] * 4}
    store.write(AuditSample, pd.DataFrame(sample))
    store.write(SuspectQueue, SuspectQueue.empty())

    def decide(image: str, verdict: str, **fields: str) -> None:
        row = images.loc[image]
        given = "" if verdict == "drop" else row["diagnosis"]
        file.append(tmp_path, [decision(image, verdict, sha256=row["sha256"], given=given, **fields)])

    def said(*arguments: str) -> str:
        parser = ArgumentParser()
        audit.add_arguments(parser)
        audit.run(tmp_path, parser.parse_args(arguments))
        return capsys.readouterr().out

    assert said().splitlines()[2].startswith("demo:04")
    decide("demo:04", "relabel", to="wart", queue="audit")
    decide("demo:05", "keep", queue="audit")
    decide("demo:06", "keep", steward="A")
    decide("demo:06", "drop", steward="B")
    text = said()
    assert text.splitlines()[2].startswith("demo:07")
    assert "2 of 4 images of the sample were looked at, 1 of their labels are wrong" in text
    assert "found so far: 1" in text
