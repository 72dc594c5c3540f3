"""The package itself: light to import, clear about what is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def test_importing_the_package_loads_no_room() -> None:
    done = run("import sys, neurosparse;"
               "print(sorted(m for m in sys.modules if m.startswith('neurosparse.')),"
               "      'torch' in sys.modules, 'numpy' in sys.modules)")
    assert done.stdout.strip() == "['neurosparse._version'] False False"


def test_deciding_and_reporting_never_load_torch() -> None:
    done = run("import sys, neurosparse as ns; ns.budgets.arithmetic(4, 0.5, 0.1); ns.report;"
               "print('torch' in sys.modules, 'transformers' in sys.modules)")
    assert done.stdout.strip() == "False False", done.stderr


@pytest.mark.slow
def test_loading_a_packed_model_waits_for_no_compiler() -> None:
    done = run("import sys, neurosparse as ns; ns.sparse; before = 'numba' in sys.modules;"
               "print('neurosparse.sparse.triton_bits' in sys.modules, before,"
               "      ns.models.DepthPropagator.__name__, 'numba' in sys.modules)")
    assert done.stdout.strip() == "False False DepthPropagator True", done.stderr


@pytest.mark.parametrize("use", [
    "ns.models", "ns.compress", "__import__('neurosparse.cli').cli.main()",
])
def test_a_missing_extra_is_named(use: str) -> None:
    done = run("import sys; sys.modules['torch'] = None;"
               "sys.argv = ['neurosparse', 'compress', 'smollm2', '--sparsity', '0.5'];"
               f"import neurosparse as ns; {use}")
    assert done.returncode != 0
    assert 'pip install "neurosparse[llm]"' in done.stderr.splitlines()[-1]


def test_every_public_name_is_there() -> None:
    import neurosparse as ns

    assert set(ns.__all__) == set(dir(ns))
    for name in ns.__all__:
        assert getattr(ns, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = ns.nothing
