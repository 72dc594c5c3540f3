"""Evaluate one model, dense or packed; in this process, or alone in a fresh one.

Peak memory can only be attributed in a process that does nothing else, so the main job evaluates
each model by ``python -m neurosparse eval`` and reads its JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from neurosparse import kernels
from neurosparse.errors import InputError, ModelError, NeurosparseError
from neurosparse.files import write_whole
from neurosparse.measure import (
    ChoiceItem,
    ReadProbe,
    choice_accuracy,
    decode_bytes,
    generation_speed,
    loop_speed,
    perplexity,
    prefill_speed,
    python_share,
)
from neurosparse.measure.timing import WARM_STEPS
from neurosparse.models import check_length, context_of
from neurosparse.pipeline.opening import open_model
from neurosparse.progress import Progress, silent
from neurosparse.records import peak_memory
from neurosparse.sparse import Decoder, find_loop

PROMPT = "The history of mathematics"
_STEPS = 48


def evaluate(
    name: str,
    tokens: torch.Tensor | None,
    *,
    prompt: torch.Tensor | None = None,
    dtype: str = "float32",
    device: str = "cpu",
    stream: bool = False,
    sample: bool = True,
    choices: Sequence[ChoiceItem] = (),
    progress: Progress = silent,
) -> dict[str, Any]:
    """Load a model, time it, let it write, and measure its perplexity.

    Parameters
    ----------
    name
        A packed folder, or what ``models.load`` takes.
    tokens : int64 tensor of shape (windows, length), optional
        Windows for the perplexity; without them it is left out.
    prompt : int64 tensor of shape (1, length), optional
        Prompt of the timing, cut where the model's context would not hold what is written after
        it; without it the timing is left out.
    choices
        Items of the choice task; without them its accuracy is left out.

    Returns
    -------
    dict
        ``perplexity``, ``perplexity_stderr``, ``nll_by_window`` (nats a token), ``predictions``,
        ``bytes``, ``peak_memory_bytes`` (loading and generating), ``libraries_memory_bytes``
        (the same process before loading), ``prefill_tokens_per_s``, ``decode_tokens_per_s``,
        ``core_decode_tokens_per_s`` (in the compiled decoder; None where it does not take the
        model), ``decode_python_share``, ``decode_bytes`` (weights that a step reads),
        ``memory_bytes_per_s`` (what the memory gave just after), ``loop``, ``load_s``,
        ``sample``, ``notes``. Of a model without a key-value cache all that decoding takes is left
        out, and a note says so.

    Raises
    ------
    NeurosparseError
        As ``open_model``.
    InputError
        Windows longer than the model's context; a choice task without a tokenizer, or of a
        streamed model.
    """
    found: dict[str, Any] = {"model": name, "notes": [], "libraries_memory_bytes": peak_memory()}
    begin = time.perf_counter()
    opened = open_model(name, dtype=dtype, device=device, stream=stream)
    model, tokenizer = opened.model, opened.tokenizer
    found |= {"load_s": time.perf_counter() - begin, "bytes": opened.weights,
              "level": kernels.level(), "threads": kernels.threads()}
    if tokens is not None:
        check_length(model, tokens.shape[1], f"evaluate {name}")
    timed = None if prompt is None or stream else _fitting(model, prompt).to(device)
    if timed is not None:
        progress("time generation", 0, 1)
        speeds, notes = _speeds(model, timed)
        found |= speeds
        found["notes"] += notes
        progress("time generation", 1, 1)
    if sample and tokenizer is not None and not stream:
        found["sample"] = write_sample(model, tokenizer)
    found["peak_memory_bytes"] = peak_memory()
    if timed is not None:
        # After the peak was read: decoder, probe and profiler take memory of their own.
        found |= _beyond(model, timed, device, decodes="loop" in found)
    if tokens is not None:
        result = perplexity(model, tokens, progress=progress)
        found |= {"perplexity": result.value, "perplexity_stderr": result.stderr,
                  "nll_by_window": result.nll.tolist(), "predictions": result.predictions}
    if choices:
        if tokenizer is None or stream:
            raise InputError("choice task", found="no tokenizer" if tokenizer is None else
                             "a streamed model", expected="a model in memory with its tokenizer")
        right = choice_accuracy(model, tokenizer, choices, progress=progress)
        found |= {"accuracy": right.value, "accuracy_stderr": right.stderr, "items": len(choices)}
    return found


def _fitting(model: Any, prompt: torch.Tensor) -> torch.Tensor:
    """As much of a prompt as leaves room in the context for what is written when it is timed."""
    context = context_of(model)
    return prompt if context is None else prompt[:, : max(1, context - _STEPS - WARM_STEPS)]


def _speeds(model: Any, prompt: torch.Tensor) -> tuple[dict[str, Any], list[str]]:
    """Prefill and decode, as far as the model has them, and why not."""
    try:
        speed = generation_speed(model, prompt, steps=_STEPS)
    except ModelError as error:  # no key-value cache: a state-space model has states
        return ({"prefill_tokens_per_s": prefill_speed(model, prompt),
                 "prompt_tokens": prompt.shape[1]},
                [f"no decode speed: {error.found}, where {error.expected} is timed"])
    return {"prefill_tokens_per_s": speed.prefill, "decode_tokens_per_s": speed.decode,
            "prompt_tokens": speed.prompt, "decode_steps": speed.steps, "loop": speed.loop}, []


def _beyond(model: Any, prompt: torch.Tensor, device: str, *, decodes: bool) -> dict[str, Any]:
    """What explains a decode speed: the compiled decoder's, the memory's, bytes, Python's share."""
    core = {"core_decode_tokens_per_s": _core_decode(model, prompt)} if decodes else {}
    found = {**core, "memory_bytes_per_s": ReadProbe(device=device).read(),
             "decode_bytes": decode_bytes(model)["all"]}
    return {**found, "decode_python_share": python_share(model, prompt)} if decodes else found


def _core_decode(model: Any, prompt: torch.Tensor) -> float | None:
    """Tokens a second in the compiled decoder; None where it does not take the model."""
    loop = find_loop(model, prompt.shape[1] + _STEPS + WARM_STEPS)
    if not isinstance(loop, Decoder):
        return None
    return loop_speed(loop, prompt, steps=_STEPS, repeats=1).decode


def write_sample(model: Any, tokenizer: Any, *, prompt: str = PROMPT, tokens: int = 40
                 ) -> dict[str, str]:
    """Greedy continuation of a prompt: ``{"prompt": ..., "text": ...}``."""
    inputs = tokenizer(prompt, return_tensors="pt").to(model.device)
    inputs.pop("token_type_ids", None)
    out = model.generate(**inputs, max_new_tokens=tokens, do_sample=False,
                         pad_token_id=tokenizer.eos_token_id)
    whole = tokenizer.decode(out[0], skip_special_tokens=True)
    return {"prompt": prompt, "text": whole[len(prompt):] if whole.startswith(prompt) else whole}


def write_windows(path: Path, **tensors: torch.Tensor) -> None:
    """Windows for a process that evaluates alone."""
    with write_whole(path) as beside:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, beside)


def read_windows(path: str | Path) -> dict[str, torch.Tensor]:
    """What ``write_windows`` wrote."""
    return load_file(path)


def evaluate_alone(name: str, windows: Path, arguments: Sequence[str], *,
                   progress: Progress = silent) -> dict[str, Any]:
    """``evaluate`` in a fresh process.

    Raises
    ------
    NeurosparseError
        With the other process's own last line.
    """
    command = [sys.executable, "-m", "neurosparse", "eval", name, "--tokens", str(windows),
               "--json", "--progress", "lines", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as run:
        assert run.stderr is not None and run.stdout is not None
        last = ""
        for line in run.stderr:
            parts = line.rstrip("\n").split("\t")
            if len(parts) == 4 and parts[0] == "progress":
                progress(parts[1], int(parts[2]), int(parts[3]))
            elif line.strip():
                last = line.strip()
        text = run.stdout.read()
        code = run.wait()
    if code == 130:
        raise KeyboardInterrupt
    if code:
        raise NeurosparseError(f"evaluate {name}", found=f"exit code {code}: {last}",
                               expected="a finished evaluation")
    result: dict[str, Any] = json.loads(text)
    return result
