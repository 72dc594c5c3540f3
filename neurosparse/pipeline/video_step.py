"""One question about one video (``neurosparse video``)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neurosparse import kernels, report
from neurosparse.errors import InputError
from neurosparse.files import check_can_hold, sha256, write_json, write_whole
from neurosparse.models import resolve
from neurosparse.pipeline.plan import matmul_speed
from neurosparse.pipeline.video_questions import wrong_question
from neurosparse.pipeline.video_session import VideoOptions, VideoSession
from neurosparse.progress import Progress, silent
from neurosparse.records import RunRecord
from neurosparse.video import frame_count, index_video

_THUMBNAIL = 240
_WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}
# Tokens that a model which scores reads of a question in all orders, and of a frame by itself.
_QUESTION, _FRAME = 80, 196


def video_step(
    options: VideoOptions, video: str, question: str, choices: tuple[str, ...] = (), *,
    out: str | Path = "answer", seed: int = 0, overwrite: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Answer, and leave ``answer.json``, ``budget.json``, ``answer.png`` and ``run.json``.

    Parameters
    ----------
    options
        How.
    video, question, choices
        A file, what is asked, answers to choose from.
    out
        Folder of the results.
    seed
        Noted in the record: nothing is drawn.
    overwrite
        Replace what ``out`` holds.
    progress
        Called on the way.

    Returns
    -------
    dict
        What ``answer.json`` holds.

    Raises
    ------
    NeurosparseError
        As for ``VideoSession`` and ``video.ask``; results in ``out`` that are not to be replaced;
        no question, or options of which nothing can be chosen.
    """
    folder = Path(out)
    check_can_hold(folder)
    wrong = wrong_question(question, choices)
    if wrong is not None:
        raise InputError("ask", found=wrong[0], expected=wrong[1])
    if (folder / "answer.json").exists() and not overwrite:
        raise InputError("ask", found=f"results in {folder}", expected="an empty folder",
                         mend="Name another with --out, or replace them with --overwrite.")
    index_video(video)  # a wrong file is said before a large model is loaded
    record = RunRecord("video", arguments={**asdict(options), "video": video,
                                           "question": question, "options": list(choices)},
                       level=kernels.level(), seeds={"seed": seed},
                       threads=torch.get_num_threads())
    record.data = {"video": video, "sha256": sha256(video)}
    with record.timed("load"):
        session = VideoSession(options)
    with record.timed("answer"):
        done, facts = session.answer(video, question, choices, progress=progress)
    pictures = [thumbnail(one) for one in session.frames(video).pictures]
    with write_whole(folder / "answer.png") as beside:
        report.video(facts, pictures).savefig(beside, format="png", dpi=150, facecolor="white")
    done.assignment.budget().write(folder / "budget.json")
    record.results = {name: facts[name] for name in
                      ("answer", "tokens", "shown", "sequence", "trust", "seconds", "notes")}
    record.write(folder / "run.json")
    write_json(folder / "answer.json", facts)
    return facts


def thumbnail(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture of shape (height, width, 3) with a longer side of at most 240 pixels.

    By means of whole blocks of pixels, so that nothing flickers.
    """
    step = -(-max(picture.shape[:2]) // _THUMBNAIL)
    height, width = (max(1, n // step) for n in picture.shape[:2])
    cut = picture[: height * step, : width * step]
    if cut.shape[0] < step or cut.shape[1] < step:
        return picture[::step, ::step]  # a strip thinner than one block
    blocks = cut.reshape(height, step, width, step, 3)
    return np.asarray(blocks.mean(axis=(1, 3)).round(), np.uint8)


def video_cost(options: VideoOptions, video: str) -> dict[str, Any]:
    """What a run will do, its seconds and memory; no frame is decoded and no weight read.

    Raises
    ------
    NeurosparseError
        As for ``index_video`` and ``models.resolve``.
    """
    index, source = index_video(video), resolve(options.model)
    frames = min(options.frames or frame_count(index.duration), len(index.stamps))
    stored = _WIDTHS.get(source.description.rpartition(" ")[2], 2)
    parameters = source.bytes // stored
    kept = _WIDTHS.get(options.dtype, stored)
    scale = min(1.0, (options.side or 10**9) / max(index.width, index.height, 1))
    pixels = int(index.width * index.height * scale**2)
    speed = matmul_speed()
    read = options.token_budget + 200 + (500 if options.decoupling != "off" else 0)
    seconds = {"answer": 2 * parameters * (read + options.max_new_tokens) / speed}
    if options.scorer == "self":
        each = (options.scorer_tokens or _FRAME) + _QUESTION * (1 + options.paraphrase)
        scored = frames if options.scoring == "full" else -(-frames // 2)
        seconds["score"] = 2 * parameters * scored * each / speed
    return {
        "model": options.model, "parameters": parameters, "video": video,
        "duration": index.duration, "frames": frames, "frames_of_video": len(index.stamps),
        "size": [index.width, index.height], "token_budget": options.token_budget,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "memory_bytes": int(parameters * kept + 3 * frames * pixels + 800_000_000),
    }
