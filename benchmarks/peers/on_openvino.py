"""OpenVINO's dense products on the stack, weights in 32, 16 or 8 bits."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset15 as op

from peers.stack import start
from peers.talk import Case, copies_note, options, private_output, repeats, serve
from peers.weights import PARTS, Shape, Weights

# Name of a case: type of its weights, type that it computes in, further settings.
CASES: dict[str, tuple[str, str, dict[str, str]]] = {
    "bf16": ("bf16", "bf16", {}), "fp16": ("fp16", "f16", {}), "fp32": ("fp32", "f32", {}),
    "int8": ("int8", "bf16", {}),
    # Activations rounded to 8 bits as well, in groups: faster arithmetic, less exact.
    "int8 x int8": ("int8", "f32", {"DYNAMIC_QUANTIZATION_GROUP_SIZE": "128"}),
}
_BYTES = {"bf16": 2, "fp16": 2, "fp32": 4, "int8": 1}


def constant(weights: Weights, part: str, block: int, kind: str) -> Any:
    """A matrix as the graph holds it, widened or scaled to float32."""
    if kind == "int8":
        integers = weights.integers(part, block)
        scales = np.full((len(integers), 1), 2.0 ** -weights.exponent(part), np.float32)
        return op.multiply(op.convert(op.constant(integers), np.float32), op.constant(scales))
    floats = weights.floats(part, block)
    if kind == "fp32":
        return op.constant(floats)
    held = (op.constant(floats.astype(np.float16)) if kind == "fp16"
            else op.constant(floats, dtype=ov.Type.bf16))
    return op.convert(held, np.float32)


def graph(weights: Weights, kind: str, blocks: int) -> ov.Model:
    """All blocks."""
    x = entry = op.parameter([1, weights.shape.width], np.float32, name="x")
    for block in range(blocks):
        matrix = {part: constant(weights, part, block, kind) for part in PARTS}

        def times(part: str, vector: Any, matrix: dict[str, Any] = matrix) -> Any:
            return op.matmul(vector, matrix[part], False, True)

        a = op.add(op.multiply(times("q", x), op.sigmoid(times("k", x))), times("v", x))
        x = op.add(x, times("o", a))
        m = op.multiply(op.sigmoid(times("gate", x)), times("up", x))
        x = op.add(x, times("down", m))
    return ov.Model([x], [entry], "stack")


def stack_case(weights: Weights, name: str, asked: dict[str, Any]) -> Case:
    """Compiled for one stream of one token, as its latency hint has it."""
    kind, precision, more = CASES[name]
    nbytes = asked["blocks"] * weights.shape.size * _BYTES[kind]
    copies = repeats(nbytes, asked)
    begin, requests = start(weights.shape), []
    for _ in range(copies):
        compiled = ov.Core().compile_model(graph(weights, kind, asked["blocks"]), "CPU", {
            "INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": str(asked["threads"]),
            "NUM_STREAMS": "1", "PERFORMANCE_HINT": "LATENCY", **more})
        requests.append(compiled.create_infer_request())
        requests[-1].infer([begin])
    found = np.array(requests[0].get_output_tensor(0).data)
    turn = cycle(requests)
    return Case(lambda: next(turn).infer(), found, nbytes,
                f"{copies_note(copies)}, {primitives(compiled)}")


def primitives(compiled: Any) -> str:
    """Kernels that it chose for the products."""
    found = set()
    for node in compiled.get_runtime_model().get_ops():
        about = node.get_rt_info()
        if "primitiveType" in about and "layerType" in about and (
                about["layerType"].astype(str) in ("FullyConnected", "MatMul")):
            found.add(about["primitiveType"].astype(str))
    return ", ".join(sorted(found))


def main() -> None:
    """Serve all kinds."""
    out, asked = private_output(), options()
    weights = Weights(asked["folder"], Shape(asked["width"], asked["inner"]))
    serve(f"OpenVINO {ov.__version__}",
          {name: (lambda name=name: stack_case(weights, name, asked)) for name in CASES}, out)


if __name__ == "__main__":
    main()
