"""What a report is made of: the files of one folder, each of which may be absent."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from neurosparse.budgets import Budget, Profile, read_budgets
from neurosparse.errors import FormatError, InputError
from neurosparse.records import RunRecord
from neurosparse.report.results import Results, first_fault

RUN, BUDGET, PROFILE = "run.json", "budget.json", "profile.h5"


@dataclass(frozen=True)
class Evidence:
    """Everything the page shows. ``None`` or an empty list: that file is not in the folder."""

    run: RunRecord | None
    results: Results
    budgets: list[Budget]
    profile: Profile | None


def read_folder(folder: str | Path) -> Evidence:
    """Read ``run.json``, ``budget.json`` and ``profile.h5`` of a folder, as far as they are there.

    Raises
    ------
    InputError
        There is no such folder, or none of the three files is in it.
    FormatError
        A file is there but damaged, of another kind, or of an unknown version.
    """
    place = Path(folder)
    if not place.is_dir():
        raise InputError(f"report on {place}", found="no such folder",
                         expected="the folder of a finished run")
    has = {name: (place / name).is_file() for name in (RUN, BUDGET, PROFILE)}
    if not any(has.values()):
        raise InputError(f"report on {place}", found=f"none of {', '.join(has)}",
                         expected="at least one of them",
                         mend="Give the --out folder of neurosparse compress.")
    run = _read_run(place / RUN) if has[RUN] else None
    return Evidence(
        run=run,
        results=Results.of(run, str(place / RUN)) if run is not None else Results(),
        budgets=_read_budgets(place / BUDGET) if has[BUDGET] else [],
        profile=_read_profile(place / PROFILE) if has[PROFILE] else None,
    )


def _read_run(path: Path) -> RunRecord:
    try:
        record = RunRecord.read(path)
        TypeAdapter(RunRecord).validate_python(asdict(record))
    except ValidationError as error:
        raise FormatError(f"read {path}", found=first_fault(error),
                          expected="the fields of a run record") from error
    except TypeError as error:
        raise FormatError(f"read {path}", found=str(error),
                          expected="the fields of a run record") from error
    return record


def _read_budgets(path: Path) -> list[Budget]:
    found = read_budgets(path)
    if not found:
        raise FormatError(f"read {path}", found="an empty list", expected="at least one budget")
    return found


def _read_profile(path: Path) -> Profile:
    expected = "a profile of docs/profile-format.md"
    try:
        profile = Profile.read(path)
    except FormatError:
        raise
    except (InputError, AttributeError, TypeError, ValueError) as error:
        # The right header with the wrong things behind it: columns that differ in length or type.
        raise FormatError(f"read {path}", found=str(error), expected=expected) from error
    arrays: dict[str, NDArray[Any]] = {"targets/block": profile.block,
                                       "targets/size": profile.sizes}
    if profile.curves is not None:
        arrays |= {"curves/levels": profile.curves.levels, "curves/error": profile.curves.error}
    if profile.depth is not None:
        arrays["depth/relative_error"] = profile.depth
    for name, array in arrays.items():
        dimensions = 2 if name == "curves/error" else 1
        if array.ndim != dimensions or not np.issubdtype(array.dtype, np.number) or not array.size:
            raise FormatError(f"read {path}",
                              found=f"{name} of shape {array.shape} and type {array.dtype}",
                              expected=f"numbers in {dimensions} dimension(s), at least one")
    return profile
