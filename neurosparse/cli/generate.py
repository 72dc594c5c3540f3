"""``neurosparse generate``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from neurosparse.cli import model_options as of
from neurosparse.cli.show import print_json


def command(
    model: Annotated[str, typer.Argument(
        help="Packed folder, dense folder, hub id, .gguf file, or smollm2.")],
    prompt: Annotated[str, typer.Option(help="What to go on from.")],
    max_new_tokens: Annotated[int, typer.Option(help="Tokens to write at most.")] = 64,
    temperature: Annotated[float, typer.Option(
        help="0 takes the likeliest token, above it tokens are drawn.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    chat: Annotated[bool | None, typer.Option(
        "--chat/--no-chat",
        help="Put the prompt into the tokenizer's chat template; where it has one.")] = None,
    loop: Annotated[str, typer.Option(
        help="core: the compiled decoder; graph: a CUDA graph a step; torch: transformers' "
             "forward; auto: the fastest that the model has.")] = "auto",
    dtype: Annotated[str, typer.Option(
        help="float32, bfloat16, float16, auto: of the computation.")] = "auto",
    device: of.Device = "cpu",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it will do.")] = False,
    as_json: Annotated[bool, typer.Option(
        "--json", help="Print the text and the speeds as JSON, at the end.")] = False,
    progress: of.Shown = "auto", debug: of.Debug = False,
) -> None:
    """Let a model write: the text on stdout as it comes, the speeds on stderr."""
    from neurosparse.pipeline.generate import check_settings, generate
    from neurosparse.pipeline.opening import open_model

    if dry_run:
        from neurosparse.models import resolve
        from neurosparse.models.loading import check_dtype, find_device
        from neurosparse.sparse import is_bitmask, is_packed
        from neurosparse.sparse.loops import check_loop

        check_loop(loop)
        check_settings(max_new_tokens, temperature)
        check_dtype(f"load {model}", dtype)
        find_device(f"load {model}", device)
        if not (is_packed(model) or is_bitmask(model)):
            resolve(model)
        print(f"Load {model} in {dtype} and write up to {max_new_tokens} tokens. Nothing was run.")
        return
    opened = open_model(model, dtype=dtype, device=device)
    found = generate(opened.model, opened.tokenizer, prompt, max_new_tokens=max_new_tokens,
                     temperature=temperature, seed=seed, chat=chat, loop=loop,
                     say=(lambda piece: None) if as_json else _say)
    if as_json:
        print_json(found.as_dict())
        return
    print()
    lines = [f"prefill {found.prefill:.1f} tokens/s ({found.prompt_tokens} tokens in "
             f"{found.prefill_s:.2f} s)"]
    if found.decode is not None:
        lines.append(f"decode {found.decode:.1f} tokens/s ({found.tokens - 1} tokens in "
                     f"{found.decode_s:.2f} s)")
    if found.stopped == "end" and found.tokens == 1 and chat is not False:
        lines.append("the model ended its text at once: --no-chat lets it go on from the prompt")
    elif found.stopped != "length":
        lines.append("the context is full" if found.stopped == "context"
                     else "the model ended its text")
    lines.append(found.loop.partition(":")[0])
    print("\n" + ", ".join(lines), file=sys.stderr)


def _say(piece: str) -> None:
    print(piece, end="", flush=True)
