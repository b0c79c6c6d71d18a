"""CLIP's image tower out of an ONNX file with int8 weights, as float tensors under open_clip's names.

The file's own graph quantises activations too, which costs accuracy (cosine 0.97 to the float graph), so it is never
run: the weights are multiplied out and loaded into open_clip, which computes in float.
"""

from __future__ import annotations

import re

import numpy as np
import onnx
from onnx import numpy_helper

from pipeline.models.weights import Card, Tensors

MODEL = "open_clip/ViT-B-16-quickgelu"
PREPROCESSING = {
    "size": [224, 224],
    "mode": "RGB",
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "fill_color": 0,
}
RENAMED = {
    "vision_model.embeddings.class_embedding": "class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "positional_embedding",
    "vision_model.pre_layrnorm.weight": "ln_pre.weight",  # misspelt upstream
    "vision_model.pre_layrnorm.bias": "ln_pre.bias",
    "vision_model.post_layernorm.weight": "ln_post.weight",
    "vision_model.post_layernorm.bias": "ln_post.bias",
    "visual_projection.weight": "proj",
}
RENAMED_IN_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
LAYER = re.compile(r"vision_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")


def clip_tower(content: bytes) -> tuple[Tensors, Card]:
    """Read the ONNX file's bytes: open_clip's tensors below `visual.`, and the architecture they belong to."""
    return rename(dequantise(onnx.load_from_string(content))), Card(MODEL, PREPROCESSING)


def dequantise(model: onnx.ModelProto) -> Tensors:
    """Collect a graph's float tensors and multiply its int8 matrices out.

    An int8 matrix is the second input of a `MatMulInteger` node, of shape (in, out), with one scale per output channel
    in the initialiser `<base>_scale` and zero points of 0 in `<base>_zero_point`. It is returned in its shape under the
    name of the node's module: `/a/b/MatMul_quant` gives `a.b.weight`.

    Raises:
        ValueError: a matrix is quantised in another way.

    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    tensors: Tensors = {
        name: np.array(numpy_helper.to_array(tensor))
        for name, tensor in constants.items()
        if tensor.data_type == onnx.TensorProto.FLOAT and not name.endswith("_scale")
    }
    for node in model.graph.node:
        if node.op_type != "MatMulInteger":
            continue
        base = node.input[1].removesuffix("_quantized")
        matrix = numpy_helper.to_array(constants[node.input[1]])
        scale = numpy_helper.to_array(constants[f"{base}_scale"])
        if matrix.dtype != np.int8 or numpy_helper.to_array(constants[f"{base}_zero_point"]).any():
            raise ValueError(f"{node.name} is not quantised symmetrically to int8")
        module = node.name.removeprefix("/").removesuffix("/MatMul_quant").replace("/", ".")
        tensors[f"{module}.weight"] = matrix.astype(np.float32) * scale.astype(np.float32)
    return tensors


def rename(tensors: Tensors) -> Tensors:
    """Turn Hugging Face's names of CLIP's image tower into open_clip's, with linear weights of shape (out, in).

    Raises:
        ValueError: a tensor has no counterpart.

    """
    renamed: Tensors = {}
    stacked: dict[str, Tensors] = {}
    for name, tensor in tensors.items():
        if name in RENAMED:
            renamed[RENAMED[name]] = tensor
            continue
        match = LAYER.fullmatch(name)
        if match is None:
            raise ValueError(f"{name} is not a tensor of CLIP's image tower")
        layer, module, kind = match.groups()
        oriented = tensor.T if tensor.ndim == 2 else tensor  # noqa: PLR2004 - a linear layer's weight
        prefix = f"transformer.resblocks.{layer}"
        if module in RENAMED_IN_LAYER:
            renamed[f"{prefix}.{RENAMED_IN_LAYER[module]}.{kind}"] = oriented
        else:
            stacked.setdefault(f"{prefix}.attn.in_proj_{kind}", {})[module] = oriented
    for name, parts in stacked.items():
        renamed[name] = np.concatenate([parts[f"self_attn.{part}_proj"] for part in "qkv"])
    return renamed
