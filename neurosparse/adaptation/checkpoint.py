"""Where a run was, on disk: whole or not at all, so that it goes on bit for bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from neurosparse.errors import FormatError, ResumeError
from neurosparse.files import write_json, write_whole
from neurosparse.records import check_same_run

_STATE, _PRINT = "state.safetensors", "fingerprint.json"


class Checkpoints:
    """A folder with the weights of a step (once a step) and what has changed since (often).

    Parameters
    ----------
    folder
        Made if it is not there.
    fingerprint
        All that decides the result.
    resume
        Go on with what is there.

    Raises
    ------
    ResumeError
        What is there belongs to another run, or is there and ``resume`` was not asked for.
    """

    def __init__(self, folder: str | Path, fingerprint: Mapping[str, Any], *,
                 resume: bool = False) -> None:
        self.folder = Path(folder)
        found = self.folder / _PRINT
        if found.is_file():
            if not resume:
                raise ResumeError("adapt", found=f"unfinished work in {folder}",
                                  expected="an empty folder",
                                  mend="Go on with --resume, or remove the folder.")
            check_same_run(found, fingerprint)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(found, dict(fingerprint))

    def write_step(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Weights at the beginning of a step."""
        with write_whole(self._step(step)) as beside:
            save_file({name: one.cpu().contiguous() for name, one in tensors.items()}, beside)

    def write_state(self, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        """What has changed since, and where the run is; older steps are removed."""
        with write_whole(self.folder / _STATE) as beside:
            save_file({name: one.detach().cpu().contiguous().clone()
                       for name, one in tensors.items()}, beside,
                      metadata={"about": json.dumps(about)})
        for path in self.folder.glob("step-*.safetensors"):
            if path != self._step(about["step"]):
                path.unlink()

    def read(self) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]] | None:
        """Weights of the step, state, and where the run was; None at the beginning.

        Raises
        ------
        FormatError
            A file is damaged.
        """
        path = self.folder / _STATE
        if not path.is_file():
            return None
        state, about = _read(path)
        weights, _ = _read(self._step(about["step"]))
        return weights, state, about

    def _step(self, step: int) -> Path:
        return self.folder / f"step-{step}.safetensors"


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("about", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise FormatError(f"read {path}", found=str(error), expected="a checkpoint of a run",
                          mend="Remove the folder and start anew.") from error
