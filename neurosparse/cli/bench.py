"""``neurosparse bench``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from neurosparse.cli import model_options as of
from neurosparse.cli.bench_table import print_bench
from neurosparse.cli.progress import shown
from neurosparse.cli.show import print_json


def command(
    model: Annotated[str, typer.Argument(
        help="Packed folder; with --against MODEL or none also a dense one.")],
    against: Annotated[str, typer.Option(
        help="dense: the same model with its packed matrices written out; or another model by "
             "name; or none.")] = "dense",
    prompt_tokens: Annotated[int, typer.Option(help="Tokens of the prompt.")] = 128,
    steps: Annotated[int, typer.Option(help="Tokens to write.")] = 48,
    rounds: Annotated[int, typer.Option(min=1, help="In how many turns each.")] = 6,
    threads: Annotated[int | None, typer.Option(
        help="Of torch's and of our products; all cores by default.")] = None,
    dtype: Annotated[str, typer.Option(
        help="bfloat16, float32 or float16: of the computation.")] = "bfloat16",
    device: of.Device = "cpu",
    seed: Annotated[int, typer.Option(min=0, help="Draws the prompt's tokens.")] = 0,
    start: Annotated[bool, typer.Option(
        "--start/--no-start",
        help="Also time the first token and peak memory in processes of their own; the dense model "
             "lies on disk meanwhile.")] = True,
    loop: Annotated[str, typer.Option(
        help="core: the compiled decoder, dense products its own; graph: on a CUDA card; torch: "
             "transformers' forward; auto: the fastest that takes both models.")] = "auto",
    json_file: Annotated[str | None, typer.Option(
        "--json", metavar="FILE", help="Also write a run record with every turn; - prints it.")]
    = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it will do.")] = False,
    first_token: Annotated[str | None, typer.Option(hidden=True)] = None,
    progress: of.Shown = "auto", debug: of.Debug = False,
) -> None:
    """Prefill and decode of a packed model against the same model dense, in one run."""
    from neurosparse.pipeline.bench import BenchOptions, bench
    from neurosparse.records import RunRecord

    if first_token is not None:
        print_json(_alone(model, first_token, dtype, device, threads))
        return
    options = BenchOptions(model, against, prompt_tokens, steps, rounds, seed, threads, dtype,
                           device, start, loop)
    if dry_run:
        print(f"Load {model}, against {against}, in {dtype}; read {prompt_tokens} tokens and write "
              f"{steps} in {rounds} turns each. Nothing was run.")
        return
    record = RunRecord("bench", arguments=vars(options), seeds={"prompt": seed})
    with shown(progress) as see, record.timed("bench"):
        found = bench(options, progress=see)
    record.level, record.threads, record.results = found["level"], found["threads"], found
    if json_file == "-":
        print_json(found)
        return
    print_bench(found)
    if json_file is not None:
        record.write(json_file)
        print(f"\n{json_file}: every turn")


def _alone(model: str, tokens: str, dtype: str, device: str, threads: int | None
           ) -> dict[str, Any]:
    import torch

    from neurosparse.pipeline.first_token import first_token

    prompt = torch.tensor([[int(token) for token in tokens.split(",")]])
    return first_token(model, prompt, dtype=dtype, device=device, threads=threads)
