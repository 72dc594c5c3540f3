"""Options that ``adapt`` and ``prune --recover`` share."""

from __future__ import annotations

from typing import Annotated

import typer

_Learn = "How it learns"

Rank = Annotated[int, typer.Option(
    help="Of the low-rank updates; where several prunings give ranks, the mean at the last.",
    rich_help_panel=_Learn)]
LearningRate = Annotated[float, typer.Option(help="Of AdamW.", rich_help_panel=_Learn)]
Distill = Annotated[float, typer.Option(
    help="Share of the loss that is the divergence from the dense model, in [0, 1].",
    rich_help_panel=_Learn)]
DistillBlocks = Annotated[float, typer.Option(
    help="What the relative error of the blocks' outputs counts beside it, in nats.",
    rich_help_panel=_Learn)]
Teacher = Annotated[str | None, typer.Option(
    help="That dense model, where MODEL was cut or pruned before.", rich_help_panel=_Learn)]
Update = Annotated[str, typer.Option(
    help="low-rank: masked LoRA; values: the kept weights themselves.", rich_help_panel=_Learn)]
Ranks = Annotated[str | None, typer.Option(
    help="Ranks of the blocks: damage (rule propagation), error (LoSA), equal.",
    rich_help_panel=_Learn)]
Batch = Annotated[int, typer.Option(help="Windows an optimiser step.", rich_help_panel=_Learn)]
Dropout = Annotated[float, typer.Option(help="On the update's input.", rich_help_panel=_Learn)]
Checkpointing = Annotated[bool, typer.Option(
    "--checkpointing", help="Less memory, a third more time.", rich_help_panel=_Learn)]
Products = Annotated[str, typer.Option(
    help="auto: prunes and learns with products in bfloat16 where that is fast; own: in --dtype.",
    rich_help_panel="Run")]
