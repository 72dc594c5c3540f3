"""The application: commands, errors as one line, exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

import typer

from neurosparse import __version__
from neurosparse.cli import (
    adapt,
    allocate,
    bench,
    compress,
    evaluate,
    generate,
    info,
    meanfield,
    pack,
    phase,
    profile,
    prune,
    report,
    search,
    simulate,
    spectrum,
    video,
)
from neurosparse.errors import NeurosparseError
from neurosparse.extras import extras_named

app = typer.Typer(
    name="neurosparse", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Measure how errors travel through a network, take away what may go, run what is left.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("compress")(compress.command)
app.command("profile")(profile.command)
app.command("allocate")(allocate.command)
app.command("prune")(prune.command)
app.command("adapt")(adapt.command)
app.command("search")(search.command)
app.command("pack")(pack.command)
app.command("generate")(generate.command)
app.command("bench")(bench.command)
app.add_typer(video.app, name="video")
app.command("eval")(evaluate.command)
app.command("report")(report.command)
app.command("simulate")(simulate.command)
app.command("spectrum")(spectrum.command)
app.command("phase")(phase.command)
app.command("meanfield")(meanfield.command)
app.command("info")(info.command)


# What a wrong command line raises. Newer typers carry a click of their own, older ones need the
# package: the base of an exception that both give is the right one in either.
_Usage: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def _show_version(value: bool) -> None:
    if value:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True,
                                 help="Show the version."),
) -> None:
    pass


def main() -> None:
    """Run the command line: exit code 2 for a wrong input, 130 for Ctrl-C, one line on stderr."""
    debug = "--debug" in sys.argv
    try:
        with extras_named():
            code = app(standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    except _Usage as error:
        code = 2
        if error.format_message():
            command = getattr(getattr(error, "ctx", None), "command_path", "neurosparse")
            print(f"{command}: {' '.join(error.format_message().split())} (see {command} --help)",
                  file=sys.stderr)
    except NeurosparseError as error:
        if debug:
            traceback.print_exc()
        print(f"neurosparse: {' '.join(str(error).split())}", file=sys.stderr)
        code = 2
    if code == 130:
        one_go = sys.argv[1:2] in (["simulate"], ["meanfield"], ["pack"], ["generate"], ["bench"])
        one_go = one_go or (sys.argv[1:2] == ["video"] and sys.argv[2:3] != ["eval"])
        onward = ("repeat the command to go on" if sys.argv[1:2] == ["search"]
                  else "go on with --resume")
        print("neurosparse: interrupted"
              + ("" if one_go else f"; finished parts are kept, {onward}"), file=sys.stderr)
    sys.stdout.flush()
    # A pool of another library may still hold threads; the exit code must not wait for them.
    sys.exit(code if isinstance(code, int) else 0)


# A user of the command line reads our lines: transformers' advice concerns training, and torch's
# profiler (which counts Python's share of decoding) announces itself.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
# torch's threads spin for a millisecond after every operator, on the cores that our pool needs
# next; some tens of microseconds do.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
