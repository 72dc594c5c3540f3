"""Scores kept on disk: one JSON file for one video, question and scorer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurosparse.errors import FormatError
from neurosparse.files import check_can_hold, read_json, write_json

Floats = NDArray[np.float64]

_FORMAT = "neurosparse.video.scores"
_VERSION = 1


def pictures_hash(pictures: Sequence[NDArray[np.uint8]]) -> str:
    """Hex SHA-256 of the frames themselves: the same frames of another file are the same."""
    found = hashlib.sha256()
    for picture in pictures:
        found.update(str(picture.shape).encode())
        found.update(np.ascontiguousarray(picture).tobytes())
    return found.hexdigest()


class ScoreCache:
    """A folder of readings.

    Parameters
    ----------
    folder
        Made where it is not there.

    Raises
    ------
    StorageError
        It is a file, or may not be written.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        check_can_hold(self._folder, "--cache")

    def path(self, video: str, question: str, scorer: str) -> Path:
        """The file of one entry."""
        key = json.dumps([_VERSION, video, question, scorer], ensure_ascii=False)
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    def get(self, video: str, question: str, scorer: str) -> Floats | None:
        """Readings of shape (readings, frames), or None.

        Raises
        ------
        FormatError
            The file is damaged, or of another question: nothing is guessed.
        """
        path = self.path(video, question, scorer)
        if not path.is_file():
            return None
        found = read_json(path)
        head = {"format": _FORMAT, "version": _VERSION, "video": video, "question": question,
                "scorer": scorer}
        try:
            if {name: found[name] for name in head} != head:
                raise KeyError("another entry")
            # NaN is no JSON: null stands for it.
            return np.array([[np.nan if value is None else float(value) for value in row]
                             for row in found["readings"]], float).reshape(
                                 len(found["readings"]), -1)
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"read {path}", found="a damaged file of scores",
                              expected=f"{_FORMAT} version {_VERSION}",
                              mend="Delete it; the frames are then scored anew.") from error

    def put(self, video: str, question: str, scorer: str, readings: Floats) -> None:
        """Keep readings of shape (readings, frames); the file is written whole or not at all."""
        rows = [[float(value) if np.isfinite(value) else None for value in row]
                for row in readings]
        write_json(self.path(video, question, scorer), {
            "format": _FORMAT, "version": _VERSION, "video": video, "question": question,
            "scorer": scorer, "readings": rows})
