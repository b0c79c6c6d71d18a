"""Quantised ONNX graphs for tests: a drawn one, and the float graph that any of them stands for."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def linear(
    module: str, *, matrix: NDArray[np.int8], scale: NDArray[np.float32], zero_point: int = 0
) -> onnx.ModelProto:
    """Draw a graph of one dynamically quantised linear layer x @ matrix, as onnxruntime's quantiser writes it.

    Args:
        module: slash-separated, such as `a/b`; it names the node.
        matrix: int8 of shape (in, out).
        scale: float32, one an output channel.
        zero_point: of every output channel.

    """
    inputs, outputs = matrix.shape
    zeros = np.full(outputs, zero_point, np.int8)
    constants = {"w_quantized": matrix, "w_scale": scale, "w_zero_point": zeros}
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["x_quantized", "x_scale", "x_zero_point"]),
        helper.make_node(
            "MatMulInteger",
            ["x_quantized", "w_quantized", "x_zero_point", "w_zero_point"],
            ["product"],
            name=f"/{module}/MatMul_quant",
        ),
        helper.make_node("Cast", ["product"], ["product_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x_scale", "w_scale"], ["scales"]),
        helper.make_node("Mul", ["product_float", "scales"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", outputs])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def dequantised(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with float activations: int8 products become float ones, scales stay where they are."""
    graph = onnx.ModelProto()
    graph.CopyFrom(model)
    constants = {tensor.name: tensor for tensor in graph.graph.initializer}
    nodes = []
    for node in graph.graph.node:
        if node.op_type == "DynamicQuantizeLinear":
            quantised, scale, _ = node.output
            nodes.append(helper.make_node("Identity", node.input, [quantised]))
            graph.graph.initializer.append(numpy_helper.from_array(np.float32(1), scale))
        elif node.op_type == "MatMulInteger":
            whole = constants[node.input[1]]
            whole.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(whole).astype(np.float32), whole.name))
            nodes.append(helper.make_node("MatMul", node.input[:2], node.output, name=node.name))
        else:
            nodes.append(node)
    nodes = [helper.make_node(n.op_type, n.input, n.output, n.name, **_attributes(n)) for n in nodes]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    return graph


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
