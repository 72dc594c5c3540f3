"""Who takes turns with whom, how exact each must be, and what is asked of the times."""

from __future__ import annotations

from peers.turns import Question

# Worker modules, by the name of a peer.
MODULES = {"ours": "on_ours", "torch": "on_torch", "openvino": "on_openvino",
           "deepsparse": "on_deepsparse", "ours decode": "on_ours_decode",
           "llama_cpp": "on_llama_cpp"}

# Peers that need no environment of their own.
AT_HOME = ("ours", "torch", "ours decode")

GROUPS: dict[str, tuple[tuple[str, str], ...]] = {
    "stack, 16 bits": (("ours", "sparse bf16"), ("ours", "dense bf16"), ("torch", "bf16"),
                       ("openvino", "bf16"), ("openvino", "fp16")),
    "stack, 8 bits": (("ours", "sparse int8"), ("ours", "dense int8"), ("ours", "dense bf16"),
                      ("openvino", "int8"), ("openvino", "int8 x int8"), ("deepsparse", "int8")),
    "stack, 32 bits": (("ours", "sparse fp32"), ("ours", "sparse bf16"), ("ours", "dense fp32"),
                       ("torch", "fp32"), ("openvino", "fp32"), ("deepsparse", "fp32")),
    "decode": (("ours decode", "sparse int8"), ("ours decode", "sparse bf16"),
               ("ours decode", "dense int8"),
               ("llama_cpp", "Q8_0"), ("llama_cpp", "Q4_0"), ("llama_cpp", "Q8_0, plain"),
               ("llama_cpp", "Q4_0, plain")),
}

# Largest difference from the reference, as a share of it: the weights are the same, so it comes
# from rounding activations to 24, 8 (bf16), 11 (fp16) bits, or to 8-bit integers once a product.
LIMITS = {"fp32": 1e-3, "fp16": 0.01, "bf16": 0.03, "int8": 0.03, "int8 x int8": 0.08,
          "deepsparse int8": 0.15, "Q8_0": 0.05, "Q4_0": 0.05}

QUESTIONS = (
    Question("70 % bf16 against the best dense 16 bits", "stack, 16 bits", "ours sparse bf16",
             ("ours dense bf16", "torch bf16", "openvino bf16", "openvino fp16"), 2.57),
    Question("70 % bf16 against the peers' dense 16 bits", "stack, 16 bits", "ours sparse bf16",
             ("torch bf16", "openvino bf16", "openvino fp16")),
    Question("70 % int8 against our dense bf16", "stack, 8 bits", "ours sparse int8",
             ("ours dense bf16",), 4.3),
    Question("70 % int8 against our dense int8", "stack, 8 bits", "ours sparse int8",
             ("ours dense int8",), 2.2),
    Question("70 % int8 against OpenVINO's dense int8", "stack, 8 bits", "ours sparse int8",
             ("openvino int8", "openvino int8 x int8")),
    Question("70 % int8 against DeepSparse int8", "stack, 8 bits", "ours sparse int8",
             ("deepsparse int8",), 1.0),
    Question("70 % fp32 against DeepSparse fp32", "stack, 32 bits", "ours sparse fp32",
             ("deepsparse fp32",), 1.0),
    Question("70 % bf16 against DeepSparse fp32", "stack, 32 bits", "ours sparse bf16",
             ("deepsparse fp32",), 1.0),
    Question("70 % fp32 against the best dense fp32", "stack, 32 bits", "ours sparse fp32",
             ("ours dense fp32", "torch fp32", "openvino fp32"), 2.63),
    Question("decode, 70 % int8 against llama.cpp Q8_0", "decode", "ours decode sparse int8",
             ("llama_cpp Q8_0", "llama_cpp Q8_0, plain"), 1.5),
    Question("decode, 70 % int8 against llama.cpp Q4_0", "decode", "ours decode sparse int8",
             ("llama_cpp Q4_0", "llama_cpp Q4_0, plain"), 1.2),
    Question("decode, 70 % int8 against our dense int8", "decode", "ours decode sparse int8",
             ("ours decode dense int8",)),
)


def limit(peer: str, case: str) -> float:
    """Of a case."""
    kind = case.removeprefix("sparse ").removeprefix("dense ").removesuffix(", plain")
    return LIMITS.get(f"{peer} {kind}", LIMITS.get(kind, 0.03))
