"""Levels: choosing, refusing, and that low levels hold no instructions of high ones."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from kernel_cases import Case, cases

from neurosparse import __version__, kernels
from neurosparse.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(cases())
def test_all_levels_give_the_twins_bits(case: Case) -> None:
    seen = set()
    for name in kernels.levels():
        with kernels.using(name):
            values, bitmap, offsets = case.packed()
            arguments = bitmap, offsets, case.cols, 0, case.rows
            dense = kernels.expand(values, *arguments)
            floats = kernels.expand_float(
                values, case.kind, bitmap, offsets, case.scales, *arguments[2:]
            )
            mask = kernels.unpack_mask(bitmap, case.cols)
            arrays = (bitmap, offsets, values, dense, floats, mask)
            seen.add(b"|".join(a.tobytes() for a in arrays))
    assert len(seen) == 1


def test_best_level_is_in_use_by_default() -> None:
    code = "from neurosparse import kernels; print(kernels.level())"
    assert run(code, NEUROSPARSE_CPU_LEVEL="").stdout.strip() == kernels.levels()[-1]


@pytest.mark.parametrize("name", kernels.levels())
def test_environment_forces_a_level(name: str) -> None:
    code = "from neurosparse import kernels; print(kernels.level())"
    assert run(code, NEUROSPARSE_CPU_LEVEL=name).stdout.strip() == name


def test_unknown_level_is_refused_by_name() -> None:
    done = run("from neurosparse import kernels", NEUROSPARSE_CPU_LEVEL="sse9")
    assert done.returncode != 0
    assert "'sse9'" in done.stderr and "baseline" in done.stderr
    before = kernels.level()
    with pytest.raises(InputError, match="sse9"), kernels.using("sse9"):
        pass
    assert kernels.level() == before


def test_using_restores_the_level_after_an_error() -> None:
    before = kernels.level()
    with pytest.raises(ZeroDivisionError), kernels.using("twin"):
        assert kernels.level() == "twin"
        _ = 1 / 0
    assert kernels.level() == before


def test_build_config_says_what_was_built() -> None:
    found = kernels.build_config()
    assert found["version"] == __version__
    assert set(kernels.levels()) - {"twin"} <= set(found["levels"].split())
    assert {"compiler", "flags", "meson", "cython", "numpy"} <= set(found)
    assert "-march=native" not in found["flags"] and "openmp" not in found["flags"]


def test_works_without_the_extension() -> None:
    code = """
import sys
sys.modules["neurosparse._core"] = None
import numpy as np
from neurosparse import kernels
assert kernels.levels() == ("twin",) and kernels.threads() == 1
bitmap = kernels.pack_mask(np.eye(3, dtype=bool))
print(kernels.row_offsets(bitmap).tolist())
"""
    assert run(code).stdout.strip() == "[0, 1, 2, 3]"


def archives(name: str) -> list[Path]:
    found = list((ROOT / "build").glob(f"**/libkernels_{name}.a"))
    if not found or shutil.which("objdump") is None:
        pytest.skip("needs objdump and a build folder (editable install)")
    return found


def registers(name: str) -> set[str]:
    """Vector registers that occur in a level's objects, by letter: x, y, z."""
    seen: set[str] = set()
    for archive in archives(name):
        # a thin archive names its members relative to the build folder's root
        done = subprocess.run(
            ["objdump", "-d", archive.name], cwd=archive.parent, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        seen |= set(re.findall(r"%([xyz])mm\d", done.stdout))
    return seen


@pytest.mark.skipif("avx2" not in kernels.build_config()["levels"], reason="not an x86 build")
def test_low_levels_hold_no_wide_registers() -> None:
    assert registers("baseline") <= {"x"}
    assert registers("avx2") == {"x", "y"}
    assert "z" in registers("avx512")


def test_subnormals_and_rounding_mode_are_left_alone() -> None:
    """Nobody may touch MXCSR for the whole process."""
    kernels.pack_mask(np.ones((100, 1000), np.bool_))
    assert np.float32(1e-42) * np.float32(1) == np.float32(1e-42)
