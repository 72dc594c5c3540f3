"""Options that the commands about videos share."""

from __future__ import annotations

from typing import Annotated

import typer

_Tokens = "Tokens and frames"
_Scores = "What matters for the question"
_Run = "Run"

ModelName = Annotated[str, typer.Option("--model", help="Folder or hub id of a video model.")]
Budget = Annotated[str, typer.Option(
    "--token-budget", help="Tokens for the video, without the model's separators; or a budget "
    "file with tokens in it.", rich_help_panel=_Tokens)]
FrameCount = Annotated[int | None, typer.Option(
    "--frames", help="To take; 96, and 64 for each hour, where it is not given.",
    rich_help_panel=_Tokens)]
Resizer = Annotated[str, typer.Option(
    help="bilinear, average, rows-columns, strided or merge.", rich_help_panel=_Tokens)]
FrameSide = Annotated[int | None, typer.Option(
    "--side", help="Pixels of the longer side that frames are held at; bounds memory.",
    rich_help_panel=_Tokens)]
Decoupling = Annotated[str, typer.Option(
    help="entities, events or off: what the model is asked to look for.",
    rich_help_panel=_Scores)]
ScorerName = Annotated[str, typer.Option(
    "--scorer", help="self (the model is asked); words (its features against its words); none "
    "(all frames alike); folder of a CLIP, SigLIP or video model.",
    rich_help_panel=_Scores)]
ScorerTokens = Annotated[int | None, typer.Option(
    help="Tokens that a scorer sees a frame with; fewer is cheaper.", rich_help_panel=_Scores)]
Paraphrase = Annotated[bool, typer.Option(
    "--paraphrase", help="Ask the scorer in a second wording too: finds one out that answers by "
    "how it is asked.", rich_help_panel=_Scores)]
Scoring = Annotated[str, typer.Option(
    help="full, or coarse: every --stride-th frame, then the stretches between the best of them, "
    "half of all at most.", rich_help_panel=_Scores)]
Stride = Annotated[int, typer.Option(
    help="Of the first pass of coarse scoring.", rich_help_panel=_Scores)]
Enough = Annotated[int | None, typer.Option(
    help="Coarse scoring stops when so many frames were found.", rich_help_panel=_Scores)]
Rule = Annotated[str, typer.Option(
    help="power, softmax or rank: from scores to shares.", rich_help_panel=_Scores)]
Power = Annotated[float, typer.Option(
    help="Of the score, or of its rank; 0 is uniform.", rich_help_panel=_Scores)]
Guard = Annotated[bool, typer.Option(
    "--guard/--no-guard", help="Mix towards uniform where the scorer contradicts itself.",
    rich_help_panel=_Scores)]
Cache = Annotated[str | None, typer.Option(help="Folder where scores are kept.",
                                           rich_help_panel=_Run)]
Converted = Annotated[str | None, typer.Option(
    help="For the published LLaVA-Video: folder it is rewritten to, once.",
    rich_help_panel=_Run)]
NewTokens = Annotated[int, typer.Option(help="Tokens of an answer at most.",
                                        rich_help_panel=_Run)]
