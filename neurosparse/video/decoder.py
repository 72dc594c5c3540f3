"""One stream decoded forward, with jumps over what no wanted frame depends on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Self

import numpy as np

from neurosparse.video.index import VideoIndex, opened


class Decoder:
    """Frames of a video by their time stamps, asked for in increasing order.

    Parameters
    ----------
    index
        Of the video; the file is open between ``__enter__`` and ``__exit__``.
    """

    def __init__(self, index: VideoIndex) -> None:
        self._index = index
        self._keys = index.keys
        self._held = ExitStack()
        self._here: int | None = None
        self._ahead: Any = None
        # Key frames to go back by, beyond the one that a frame depends on.
        self._back = 0

    def __enter__(self) -> Self:
        self._restart()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def frame_at(self, stamp: int) -> Any:
        """The frame with this time stamp, or None where it cannot be decoded."""
        before = int(np.searchsorted(self._keys, stamp, side="right")) - 1
        key, back = before - self._back, self._back
        # The first key frame of a file that was just opened is where it stands already.
        if not (key > 0 if self._here is None else key >= 0 and self._keys[key] > self._here):
            return self._forward(stamp)
        self._jump(key)
        frame = self._forward(stamp)
        while frame is None and not self._landed:
            # MPEG-TS and MPEG-PS have no index: a seek ends near the key frame, and may end
            # behind it. Only what an earlier start does not give either is lost.
            back = 2 * back + 1
            self._jump(before - back)
            frame = self._forward(stamp)
        if frame is not None:
            self._back = back
        return frame

    def _restart(self) -> None:
        self._held.close()
        self._container, self._stream = self._held.enter_context(opened(self._index.path))
        self._stream.thread_type = "NONE"  # frames decoded ahead by threads would be frames held
        self._begin(None)

    def _begin(self, sought: int | None) -> None:
        self._frames, self._ahead, self._sought = self._decoded(), None, sought
        # From the start on there is nothing that a decoder could have jumped over.
        self._landed = sought is None

    def _jump(self, key: int) -> None:
        import av

        if key < 0 or not len(self._keys):
            self._restart()
            return
        sought = int(self._keys[key])
        try:
            self._container.seek(sought, stream=self._stream, backward=True)
        except av.FFmpegError:
            self._keys = self._keys[:0]  # a format without seeking is decoded forward alone
            self._restart()
            return
        self._begin(sought)

    def _forward(self, stamp: int) -> Any:
        while True:
            frame = self._ahead if self._ahead is not None else next(self._frames, None)
            self._ahead = None
            if frame is None:
                return None
            here = self._stamp(frame)
            if here is None or not (self._landed or self._starts(frame, here)):
                continue
            if here <= stamp:
                self._landed = True
            if here < stamp:
                continue
            self._here = here
            if here > stamp:
                self._ahead = frame  # the one wanted is lost; this one may be the next wanted
                return None
            return frame

    def _starts(self, frame: Any, here: int) -> bool:
        """Whether a frame behind a jump is whole, and has the stamp that it has in the index."""
        place = int(np.searchsorted(self._index.stamps, here))
        known = place < len(self._index.stamps) and int(self._index.stamps[place]) == here
        # What a decoder makes of the middle of a group of pictures is nothing to look at.
        return known and (frame.key_frame or here == self._sought)

    def _stamp(self, frame: Any) -> int | None:
        if self._index.counted:
            self._count += 1
            return self._count - 1
        # AVI gives no stamp of its own to a frame, only that of its packet.
        found: int | None = frame.pts if frame.pts is not None else frame.dts
        return found

    def _decoded(self) -> Iterator[Any]:
        import av

        self._count = 0
        for packet in self._container.demux(self._stream):
            try:
                yield from packet.decode()
            except av.FFmpegError:
                continue  # one damaged packet; the frames after the next key frame are whole
