"""A quick look whether the hub can be reached, before libraries try for a minute."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit
from urllib.request import getproxies

from neurosparse.errors import NeurosparseError

_SECONDS = 4.0


def check_reachable(operation: str, error: type[NeurosparseError]) -> None:
    """Raise ``error`` if the hub cannot be reached now.

    The hub client retries for most of a minute without a word; one connection tells in seconds.
    Behind a proxy nothing is tested, because only the proxy knows.
    """
    from huggingface_hub import constants

    mend = "Give a local folder, a .gguf file or an alias, or go online."
    if constants.HF_HUB_OFFLINE or os.environ.get("HF_DATASETS_OFFLINE", "0") not in ("", "0"):
        raise error(
            operation, found="nothing in the local cache, and offline mode (HF_HUB_OFFLINE)",
            expected="a local copy or a connection", mend=mend,
        )
    address = urlsplit(constants.ENDPOINT)
    if getproxies().get(address.scheme):
        return
    host = address.hostname or "huggingface.co"
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as problem:
        raise error(
            operation, found=f"no connection to {host} ({problem.strerror or problem})",
            expected="a local copy or a connection", mend=mend,
        ) from problem
