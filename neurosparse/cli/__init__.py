"""The command line: one file a command, each a thin call into the rooms."""

from neurosparse.cli.app import main

__all__ = ["main"]
