"""DeepSparse on the pruned stack, float32 and int8, from ONNX files with the same weights.

The graph has the forms that this engine takes: three dimensions, as its language models had (with
two, its planner fails on three products of one input), and in int8 QuantizeLinear, MatMulInteger,
Cast, Mul with 8-bit activations at a fixed scale each (graphs with DequantizeLinear before the
product run twenty times slower in it).
"""

from __future__ import annotations

import gc
import json
from itertools import cycle
from pathlib import Path
from typing import Any

import deepsparse
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from peers.stack import start
from peers.talk import Case, copies_note, held, options, private_output, repeats, serve
from peers.weights import Shape, Weights

_ZERO = 128  # of unsigned activations


class Graph:
    """An ONNX graph under construction."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def hold(self, name: str, array: Any) -> str:
        """A constant."""
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, kind: str, inputs: list[str], **more: Any) -> str:
        """A node; the name of its output."""
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **more))
        return name


class Products:
    """Products of one kind of values."""

    def __init__(self, graph: Graph, weights: Weights, kind: str, largest: dict[str, float]
                 ) -> None:
        self.graph, self.weights, self.kind, self.largest = graph, weights, kind, largest
        self.rounded: dict[tuple[str, float], str] = {}
        if kind == "int8":
            graph.hold("zero_u8", np.uint8(_ZERO))
            graph.hold("zero_i8", np.int8(0))

    def __call__(self, part: str, block: int, x: str) -> str:
        """Weights stand as (inputs, outputs)."""
        graph, name = self.graph, f"{part}{block}"
        held = self.weights.turned(part, block, self.kind)
        if self.kind == "fp32":
            return graph.add("MatMul", [x, graph.hold(name, held)])
        scale = self.largest[name] / (255 - _ZERO)
        product = graph.add("MatMulInteger", [
            self._round(x, scale), graph.hold(name, held), "zero_u8", "zero_i8"])
        back = graph.hold(f"back_{name}",
                          np.float32(scale * 2.0 ** -self.weights.exponent(part)))
        return graph.add("Mul", [graph.add("Cast", [product], to=TensorProto.FLOAT), back])

    def _round(self, x: str, scale: float) -> str:
        """Once for all products of one input."""
        if (x, scale) not in self.rounded:
            held = self.graph.hold(f"scale_{len(self.graph.constants)}", np.float32(scale))
            self.rounded[x, scale] = self.graph.add("QuantizeLinear", [x, held, "zero_u8"])
        return self.rounded[x, scale]


def write(path: Path, weights: Weights, kind: str, blocks: int, largest: dict[str, float]) -> None:
    """The stack as an ONNX file, its weights beside it."""
    graph, x = Graph(), "x"
    times = Products(graph, weights, kind, largest)
    for block in range(blocks):
        q, k, v = (times(part, block, x) for part in ("q", "k", "v"))
        a = graph.add("Add", [graph.add("Mul", [q, graph.add("Sigmoid", [k])]), v])
        x = graph.add("Add", [x, times("o", block, a)])
        gate, up = times("gate", block, x), times("up", block, x)
        m = graph.add("Mul", [graph.add("Sigmoid", [gate]), up])
        x = graph.add("Add", [x, times("down", block, m)])
    of = [1, 1, weights.shape.width]
    made = helper.make_model(helper.make_graph(
        graph.nodes, "stack", [helper.make_tensor_value_info("x", TensorProto.FLOAT, of)],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, of)], graph.constants),
        opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 8
    beside = path.with_suffix(".weights")
    for old in (path, beside):
        old.unlink(missing_ok=True)
    onnx.save_model(made, str(path), save_as_external_data=True, all_tensors_to_one_file=True,
                    location=beside.name)


def stack_case(weights: Weights, kind: str, asked: dict[str, Any]) -> Case:
    """Compiled for batch 1.

    The engine does not say how it holds weights: their bytes are what the process grew by.
    """
    path = Path(asked["folder"]) / f"deepsparse-{kind}.onnx"
    write(path, weights, kind, asked["blocks"], asked["largest"])
    inputs = [start(weights.shape)[None]]

    def engine() -> Any:
        made = deepsparse.Engine(str(path), batch_size=1, num_cores=asked["threads"])
        made.run(inputs)
        return made

    gc.collect()
    before = held()
    engines = [engine()]
    nbytes = max(held() - before, 1)
    engines += [engine() for _ in range(repeats(nbytes, asked) - 1)]
    for old in (path, path.with_suffix(".weights")):
        old.unlink()
    turn = cycle(engines)
    note = (f"{copies_note(len(engines))}, MB as its process grew, "
            f"{engines[0].fraction_of_supported_ops:.0%} of its operations in the engine")
    return Case(lambda: next(turn).run(inputs, val_inp=False), engines[0].run(inputs)[0][0],
                nbytes, note)


def main() -> None:
    """Serve both kinds."""
    out, asked = private_output(), options()
    asked["largest"] = json.loads((Path(asked["folder"]) / "largest.json").read_text())
    weights = Weights(asked["folder"], Shape(asked["width"], asked["inner"]))
    serve(f"DeepSparse {deepsparse.__version__}",
          {kind: (lambda kind=kind: stack_case(weights, kind, asked))
           for kind in ("fp32", "int8")}, out)


if __name__ == "__main__":
    main()
