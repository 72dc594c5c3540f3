"""One writer at a time: a lock that the kernel takes back when its process dies.

A POSIX record lock on ``<file>.lock``. It is not inherited by forked workers, works over NFS, and
cannot be stale: a file that a dead process left behind is simply not locked.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from pathlib import Path

from neurosparse.errors import ResumeError
from neurosparse.files import translated_errors

# The kernel lets one process lock a file as often as it likes, and drops the lock when any of its
# handles is closed: within a process this set is the lock.
_HELD: set[Path] = set()
_GUARD = threading.Lock()


class Lock:
    """Held from its making until ``release``.

    Parameters
    ----------
    path
        The file to be written; the lock is a file beside it.

    Raises
    ------
    ResumeError
        Another program, or this one, writes the file; it is named.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.beside = self.path.with_name(self.path.name + ".lock")
        with _GUARD:
            if self.path in _HELD:
                raise self._refusal("this program, elsewhere")
            with translated_errors(self.beside):
                self.beside.parent.mkdir(parents=True, exist_ok=True)
                self._handle: int | None = self._take()
            _HELD.add(self.path)

    def _refusal(self, holder: str) -> ResumeError:
        return ResumeError(f"write {self.path}", found=f"a lock held by {holder}",
                           expected="one writer at a time",
                           mend="Wait for it, or take another file.")

    def _take(self) -> int:
        while True:
            handle = os.open(self.beside, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(handle, 200).decode(errors="replace").strip()
                os.close(handle)
                raise self._refusal(holder or "another program") from None
            if self._is_still_there(handle):
                os.ftruncate(handle, 0)
                os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
                return handle
            os.close(handle)

    def _is_still_there(self, handle: int) -> bool:
        """Whether the holder before us left the file alone between our open and our lock."""
        try:
            return os.fstat(handle).st_ino == self.beside.stat().st_ino
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Give it back; a second call does nothing."""
        with _GUARD:
            if self._handle is None:
                return
            self.beside.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = None
            _HELD.discard(self.path)
