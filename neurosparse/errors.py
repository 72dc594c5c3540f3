"""The one exception family.

Every error names the operation, the offending value and what was expected, so that the message
alone is enough to mend the call.
"""

from __future__ import annotations


class NeurosparseError(Exception):
    """Base of every error that neurosparse raises on purpose.

    Parameters
    ----------
    operation
        What was being done, as the user would name it (``"compress"``, ``"read budget.json"``).
    found
        The offending value, with its name.
    expected
        What would have been right.
    mend
        What to do about it, where that is not obvious from ``expected``.
    """

    def __init__(self, operation: str, *, found: str, expected: str, mend: str = "") -> None:
        self.operation = operation
        self.found = found
        self.expected = expected
        self.mend = mend
        text = f"{operation}: found {found}; expected {expected}"
        super().__init__(f"{text}. {mend}" if mend else text)


class InputError(NeurosparseError, ValueError):
    """An argument is out of its range or of the wrong shape or type."""


class FormatError(NeurosparseError, ValueError):
    """A file is not what its name or header says: truncated, corrupt, unknown version."""


class ModelError(NeurosparseError, ValueError):
    """A model has no decoder blocks, NaN weights, or a part that is not understood."""


class TextError(NeurosparseError, ValueError):
    """A text is missing, empty, or too short for one window."""


class BudgetError(NeurosparseError, ValueError):
    """A budget is illegal, or does not fit the model or the profile it is used with."""


class StorageError(NeurosparseError, OSError):
    """The disk is full or a folder cannot be written."""


class ResumeError(NeurosparseError, ValueError):
    """The unfinished work, or the results, in a folder belong to another run."""


class DivergenceError(NeurosparseError, ArithmeticError):
    """A trajectory or frame left the finite numbers, and the caller asked for an error."""


class MissingExtraError(NeurosparseError, ImportError):
    """An optional dependency is not installed."""
