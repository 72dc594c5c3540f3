"""Say what to install where hypothesis is missing."""

from __future__ import annotations

from neurosparse.errors import MissingExtraError

try:
    import hypothesis  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingExtraError(
        "import neurosparse.testing", found="no module 'hypothesis'",
        expected="hypothesis, from which the strategies are made",
        mend="pip install hypothesis",
    ) from error
