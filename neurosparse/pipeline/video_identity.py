"""What answers depend on beside the options: the weights, the scorer's, and the clips."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from neurosparse.pipeline.video_session import VideoSession
from neurosparse.video.scorers.digest import weights_digest

_WHOLE, _BLOCK, _BLOCKS = 1 << 24, 1 << 14, 256


def session_identity(session: VideoSession) -> dict[str, str]:
    """Digests of the model's weights and of the scorer, which may be another model."""
    return {"weights": weights_digest(session.main.model), "scorer": session.scorer.name}


def clip_digest(path: str | Path) -> str | None:
    """Twelve hex digits that change with a file; of a large one, its size and 256 blocks of it.

    Benchmarks have hundreds of gigabytes of clips. One that was encoded anew or cut differs
    everywhere. None where the file cannot be read.
    """
    source = Path(path)
    try:
        size = source.stat().st_size
        found = hashlib.sha256(str(size).encode())
        with source.open("rb") as handle:
            if size <= _WHOLE:
                found.update(handle.read())
            else:
                for block in range(_BLOCKS):
                    handle.seek(block * (size - _BLOCK) // (_BLOCKS - 1))
                    found.update(handle.read(_BLOCK))
    except OSError:
        return None
    return found.hexdigest()[:12]


def clips_digest(paths: Iterable[str | Path]) -> str:
    """The same of several files in their order."""
    each = " ".join(str(clip_digest(one)) for one in paths)
    return hashlib.sha256(each.encode()).hexdigest()[:12]
