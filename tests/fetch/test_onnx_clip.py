from __future__ import annotations

from itertools import product

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from open_clip.transformer import VisionTransformer

from pipeline.fetch.onnx_clip import clip_tower, dequantise, rename
from tests.fetch.quantised import dequantised, linear

WIDTH, OUTPUT, TOKENS, LAYERS = 64, 8, 5, 2


def quantised(seed: int = 0) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return rng.integers(-127, 128, (6, 4), np.int8), rng.uniform(0.001, 0.1, 4).astype(np.float32)


def hugging_face_tower() -> dict[str, NDArray[np.float32]]:
    """Draw a small CLIP image tower under Hugging Face's names, linear weights as ONNX has them: (in, out)."""
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "vision_model.embeddings.class_embedding": (WIDTH,),
        "vision_model.embeddings.patch_embedding.weight": (WIDTH, 3, 16, 16),
        "vision_model.embeddings.position_embedding.weight": (TOKENS, WIDTH),
        "visual_projection.weight": (WIDTH, OUTPUT),
    }
    linears = {f"self_attn.{part}_proj": (WIDTH, WIDTH) for part in ("q", "k", "v", "out")}
    linears |= {"mlp.fc1": (WIDTH, 4 * WIDTH), "mlp.fc2": (4 * WIDTH, WIDTH)}
    for layer, (module, shape) in product(range(LAYERS), linears.items()):
        shapes[f"vision_model.encoder.layers.{layer}.{module}.weight"] = shape
        shapes[f"vision_model.encoder.layers.{layer}.{module}.bias"] = shape[1:]
    norms = [f"encoder.layers.{layer}.layer_norm{i}" for layer, i in product(range(LAYERS), (1, 2))]
    for norm, kind in product([*norms, "pre_layrnorm", "post_layernorm"], ("weight", "bias")):
        shapes[f"vision_model.{norm}.{kind}"] = (WIDTH,)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_int8_matrices_are_multiplied_out_as_onnxruntime_would() -> None:
    matrix, scale = quantised()
    model = linear("vision_model/encoder/layers.0/mlp/fc1", matrix=matrix, scale=scale)
    weight = dequantise(model)["vision_model.encoder.layers.0.mlp.fc1.weight"]
    x = np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32)
    session = onnxruntime.InferenceSession(dequantised(model).SerializeToString())
    assert np.allclose(x @ weight, session.run(["y"], {"x": x})[0], rtol=1e-6, atol=1e-6)


def test_dequantised_weights_agree_with_the_quantised_graph_to_its_own_precision() -> None:
    matrix, scale = quantised()
    model = linear("a", matrix=matrix, scale=scale)
    x = np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32)
    # Not onnxruntime: on processors without VNNI it adds products in 16 bits, which overflow.
    shipped = ReferenceEvaluator(model).run(["y"], {"x": x})[0]
    exact = x @ dequantise(model)["a.weight"]
    assert 0 < np.abs(shipped - exact).max() < 0.02 * np.abs(exact).max()


def test_a_matrix_that_is_not_quantised_symmetrically_is_refused() -> None:
    matrix, scale = quantised()
    with pytest.raises(ValueError, match="/a/MatMul_quant is not quantised symmetrically"):
        dequantise(linear("a", matrix=matrix, scale=scale, zero_point=3))


def test_every_tensor_of_the_image_tower_gets_its_place_in_open_clip() -> None:
    tower = VisionTransformer(32, 16, WIDTH, LAYERS, heads=1, mlp_ratio=4, output_dim=OUTPUT)
    renamed = rename(hugging_face_tower())
    tower.load_state_dict({name: torch.from_numpy(tensor.copy()) for name, tensor in renamed.items()}, strict=True)


def test_query_key_and_value_are_stacked_in_that_order_and_turned() -> None:
    given = hugging_face_tower()
    stacked = rename(given)["transformer.resblocks.1.attn.in_proj_weight"]
    parts = [given[f"vision_model.encoder.layers.1.self_attn.{part}_proj.weight"] for part in "qkv"]
    for i, part in enumerate(parts):
        assert np.array_equal(stacked[i * WIDTH : (i + 1) * WIDTH], part.T)


def test_a_tensor_without_a_counterpart_is_refused() -> None:
    with pytest.raises(ValueError, match=r"text_model\.embeddings is not a tensor of CLIP's image tower"):
        rename({"text_model.embeddings": np.zeros(1, np.float32)})


def test_the_tower_is_read_from_the_bytes_of_a_graph() -> None:
    matrix, scale = quantised()
    model = linear("visual_projection", matrix=matrix, scale=scale)
    tensors, card = clip_tower(model.SerializeToString())
    assert np.array_equal(tensors["proj"], matrix * scale)
    assert card.model == "open_clip/ViT-B-16-quickgelu"
