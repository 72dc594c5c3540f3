"""A packed model against the same model dense (``neurosparse bench``)."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from neurosparse.errors import InputError
from neurosparse.measure import compare_generation, dense_twin
from neurosparse.models import context_of
from neurosparse.models.quiet import quiet
from neurosparse.pipeline.first_token import first_token_alone
from neurosparse.pipeline.opening import Opened, open_model
from neurosparse.progress import Progress, silent


@dataclass(frozen=True)
class BenchOptions:
    """What to measure; the arguments of ``neurosparse bench``.

    Attributes
    ----------
    model
        Packed folder, or what ``models.load`` takes.
    against
        ``"dense"`` (the same model with its packed matrices written out), another model by its
        name, or ``"none"``.
    prompt_tokens, steps, rounds
        Tokens to read and to write, in how many turns.
    seed
        Draws the prompt's token ids.
    threads, dtype, device
        Of the computation.
    start
        Also load each model in a process of its own: time to the first token, and peak memory.
    loop
        ``"auto"``, ``"core"``, ``"graph"`` or ``"torch"``: see ``measure.compare_generation``.
    """

    model: str
    against: str = "dense"
    prompt_tokens: int = 128
    steps: int = 48
    rounds: int = 6
    seed: int = 0
    threads: int | None = None
    dtype: str = "bfloat16"
    device: str = "cpu"
    start: bool = True
    loop: str = "auto"


def bench(options: BenchOptions, *, progress: Progress = silent) -> dict[str, Any]:
    """Measure, and return everything as JSON has it.

    Returns
    -------
    dict
        ``models`` (name of a row to what it is), ``start`` (row to the result of
        ``first_token``), ``notes``, and the fields of ``GenerationComparison``.

    Raises
    ------
    InputError
        Less than one token, a prompt that leaves no room in the context, nothing to compare with.
    NeurosparseError
        As ``models.load`` and ``sparse.load``.
    """
    first = open_model(options.model, dtype=options.dtype, device=options.device)
    own = "packed" if first.packed else "dense"
    prompt = _prompt(options, first.model)
    notes: list[str] = []
    second, what = _other(options, first)
    names = (own, "dense")
    if second is not None and options.against != "dense":
        names = (options.model, options.against)
    if second is not None and names[0] == names[1]:
        names = (names[0], f"{names[1]} again")
    models = {names[0]: f"{options.model} ({first.description})"}
    if second is not None:
        models[names[1]] = what
    found = compare_generation(first.model, second, prompt, steps=options.steps,
                               rounds=options.rounds, threads=options.threads, names=names,
                               loop=options.loop,
                               progress=progress)
    start: dict[str, Any] = {}
    if options.start:
        with tempfile.TemporaryDirectory(prefix="neurosparse-bench-") as folder:
            places = {names[0]: options.model}
            if second is not None and options.against != "dense":
                places[names[1]] = options.against
            elif second is not None and _fits(second, Path(folder), notes):
                with quiet():
                    second.save_pretrained(folder)
                    if first.tokenizer is not None:  # or else it would have less to load
                        first.tokenizer.save_pretrained(folder)
                places[names[1]] = folder
            # The processes must not share the memory with the models here.
            del first, second
            for done, (name, place) in enumerate(places.items()):
                progress("first token", done, len(places))
                start[name] = first_token_alone(place, prompt, dtype=options.dtype,
                                                device=options.device, threads=options.threads)
            progress("first token", len(places), len(places))
    return {**found.as_dict(), "models": models, "start": start, "notes": notes,
            "dtype": options.dtype}


def _other(options: BenchOptions, first: Opened) -> tuple[Any, str]:
    if options.against == "none":
        return None, ""
    if options.against != "dense":
        other = open_model(options.against, dtype=options.dtype, device=options.device)
        return other.model, f"{options.against} ({other.description})"
    if not first.packed:
        raise InputError("bench", found=f"{options.model}, which is dense, against dense",
                         expected="a packed model",
                         mend="Pack it first (neurosparse pack), or give --against another model "
                              "or none.")
    twin = dense_twin(first.model)
    return twin, f"the same model, its packed matrices written out in {options.dtype}"


def _prompt(options: BenchOptions, model: Any) -> torch.Tensor:
    if options.prompt_tokens < 1 or options.steps < 1:
        raise InputError("bench", found=f"{options.prompt_tokens} prompt tokens, {options.steps} "
                         "steps", expected="at least one of each")
    context = context_of(model)
    # What warms up writes one round more.
    needed = options.prompt_tokens + options.steps + 2 * -(-options.steps // options.rounds)
    if context is not None and needed > context:
        raise InputError("bench", found=f"{needed} tokens of prompt and steps",
                         expected=f"at most the model's context of {context}",
                         mend="Take fewer --prompt-tokens or --steps.")
    draws = torch.Generator().manual_seed(options.seed)
    vocabulary = int(model.config.get_text_config().vocab_size)
    found = torch.randint(vocabulary, (1, options.prompt_tokens), generator=draws)
    return found.to(options.device)


def _fits(model: Any, folder: Path, notes: list[str]) -> bool:
    """Whether the dense model fits on the disk for a moment."""
    needed = sum(parameter.nbytes for parameter in model.parameters())
    if shutil.disk_usage(folder).free > 1.2 * needed:
        return True
    notes.append(f"no first token of the dense model: {folder.parent} has too little room for its "
                 f"{needed / 1e6:.0f} MB (TMPDIR names another place)")
    return False
