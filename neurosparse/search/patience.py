"""Call a completion that may hang, fail or die: a limit in time, tries again, a backoff."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from neurosparse.errors import InputError, NeurosparseError
from neurosparse.search.form import Form

Complete = Callable[[str], str]


class Patient:
    """A completion that answers, or raises one error after a known time.

    Parameters
    ----------
    complete
        ``complete(prompt) -> str``; called in a thread of its own. One whose attribute ``shaped``
        is true can hold its model to a form, and is called ``complete(prompt, form)``.
    timeout
        Seconds for one answer. A call that takes longer is left behind: nothing can stop a thread,
        so a completion that can limit itself (its tokens, its own time) should.
    retries
        How often it is called again after an error or a timeout.
    backoff
        Seconds before the first new call; doubled each time.
    sleep
        For tests.

    Raises
    ------
    InputError
        Not a callable, or numbers out of range.
    """

    def __init__(self, complete: Complete, *, timeout: float = 120.0, retries: int = 3,
                 backoff: float = 1.0, sleep: Callable[[float], None] = time.sleep) -> None:
        if not callable(complete) or not timeout > 0 or retries < 0 or not backoff >= 0:
            raise InputError("complete", found=f"{complete!r}, timeout {timeout!r}, retries "
                             f"{retries!r}, backoff {backoff!r}",
                             expected="a callable, a positive time, no negative number")
        self.complete, self.timeout = complete, timeout
        self.retries, self.backoff, self.sleep = retries, backoff, sleep

    def __call__(self, prompt: str, form: Form | None = None) -> Any:
        """The answer, whatever it is.

        Raises
        ------
        NeurosparseError
            None came in all tries; the last error is its cause.
        """
        for attempt in range(self.retries + 1):
            if attempt:
                self.sleep(self.backoff * 2.0 ** (attempt - 1))
            done, found = self._once(prompt, form)
            if done:
                return found
        cause = found if isinstance(found, Exception) else None
        raise NeurosparseError(
            "complete", found=f"no answer in {self.retries + 1} tries: "
            + ("none in time" if cause is None else f"{type(cause).__name__}: {cause}"[:300]),
            expected=f"a text within {self.timeout:g} s") from cause

    def _once(self, prompt: str, form: Form | None) -> tuple[bool, Any]:
        box: queue.Queue[tuple[bool, Any]] = queue.Queue()
        shaped = form is not None and getattr(self.complete, "shaped", False)
        asked: tuple[Any, ...] = (prompt, form) if shaped else (prompt,)

        def work() -> None:
            try:
                box.put((True, self.complete(*asked)))
            except Exception as error:
                box.put((False, error))

        # A daemon: a call that never ends must not keep the program from ending.
        threading.Thread(target=work, daemon=True, name="neurosparse-complete").start()
        try:
            return box.get(timeout=self.timeout)
        except queue.Empty:
            return False, None
