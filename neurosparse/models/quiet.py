"""Silence for the loaders of transformers, and back to what the user had set afterwards."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quiet() -> Iterator[None]:
    """Hide progress bars and warnings of transformers and the hub client inside the block.

    Everything is put back as it was, whatever happens; a user who set the log level of
    transformers to INFO or DEBUG has asked to see them, and nothing is hidden.
    """
    from huggingface_hub import utils
    from transformers.utils import logging as transformers_logging

    # Both libraries leave these functions untyped or unexported.
    hub: Any = utils
    theirs: Any = transformers_logging
    if theirs.get_verbosity() <= logging.INFO:
        yield
        return
    level = theirs.get_verbosity()
    bars = theirs.is_progress_bar_enabled()
    hub_bars = not hub.are_progress_bars_disabled()
    forced = os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS") is not None
    theirs.set_verbosity(logging.ERROR)
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        theirs.set_verbosity(level)
        if bars:
            theirs.enable_progress_bar()
        # transformers' two switches turn the hub's with them, unless the environment decides.
        if not forced:
            (hub.enable_progress_bars if hub_bars else hub.disable_progress_bars)()
