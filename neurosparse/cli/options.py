"""Options that several commands share: one place for a name and its help."""

from __future__ import annotations

from typing import Annotated

import typer

_NETWORK = "Network"
_EI = "Excitatory-inhibitory couplings (--ensemble ei)"
_RUN = "Run"

Neurons = Annotated[int | None, typer.Option(
    "--n", help="Neurons N (200).", rich_help_panel=_NETWORK)]
Strength = Annotated[float | None, typer.Option(
    "--gain", help="g: an entry of J has variance g^2/N (2).", rich_help_panel=_NETWORK)]
Symmetry = Annotated[float | None, typer.Option(
    help="Correlation of J_ij and J_ji, in [-1, 1] (0).", rich_help_panel=_NETWORK)]
Sparsity = Annotated[float | None, typer.Option(
    help="Probability that a synapse is absent, in [0, 1) (0).", rich_help_panel=_NETWORK)]
Phi = Annotated[str, typer.Option(
    help="tanh, erf, relu, linear, sigmoid or threshold-power.", rich_help_panel=_NETWORK)]
Gamma = Annotated[float, typer.Option(
    help="Onsager switch: 0 vanilla, 1 gradient descent.", rich_help_panel=_NETWORK)]
Temperature = Annotated[float, typer.Option(
    help="T of the white noise sqrt(2T) dW.", rich_help_panel=_NETWORK)]
MapStep = Annotated[float | None, typer.Option(
    "--map", help="The network in discrete time with this step, in (0, 1]; times are steps.",
    metavar="DELTA", rich_help_panel=_NETWORK)]
Ensemble = Annotated[str | None, typer.Option(
    help="gaussian or ei (gaussian).", rich_help_panel=_NETWORK)]
CouplingsFile = Annotated[str | None, typer.Option(
    help="Your own J [N, N]: a .npy or .npz file, dense or of scipy.sparse.",
    metavar="FILE", rich_help_panel=_NETWORK)]
MeanE = Annotated[float | None, typer.Option(
    help="Mean of sqrt(N) J_ij, excitatory (0.6).", rich_help_panel=_EI)]
MeanI = Annotated[float | None, typer.Option(
    help="The same, inhibitory (-0.6).", rich_help_panel=_EI)]
StdE = Annotated[float | None, typer.Option(
    help="Standard deviation, excitatory (0.9).", rich_help_panel=_EI)]
StdI = Annotated[float | None, typer.Option(
    help="Standard deviation, inhibitory (0.9).", rich_help_panel=_EI)]
Excitatory = Annotated[float | None, typer.Option(
    help="Fraction of excitatory neurons (0.4).", rich_help_panel=_EI)]
Dale = Annotated[str | None, typer.Option(
    help="average or strict (average).", rich_help_panel=_EI)]
ZeroRowSums = Annotated[bool, typer.Option(
    "--zero-row-sums", help="Take the mean of each row off.", rich_help_panel=_EI)]

Seed = Annotated[int, typer.Option(
    min=0, help="Of everything random.", rich_help_panel=_RUN)]
Figure = Annotated[str, typer.Option(
    help="pdf, png, svg or none.", rich_help_panel=_RUN)]
Resume = Annotated[bool, typer.Option(
    "--resume", help="Go on with what is in --out.", rich_help_panel=_RUN)]
Overwrite = Annotated[bool, typer.Option(
    "--overwrite", help="Replace results in --out.", rich_help_panel=_RUN)]
DryRun = Annotated[bool, typer.Option(
    "--dry-run", help="Say what it will do, its cost.", rich_help_panel=_RUN)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=_RUN)]
Shown = Annotated[str, typer.Option(help="auto, lines or none.", rich_help_panel=_RUN)]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=_RUN)]
