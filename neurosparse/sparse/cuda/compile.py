"""Kernels in CUDA C++: compiled for the card that is there, by NVRTC, at their first call.

Triton has no load from shared memory at a computed place, which is what a product of kept values
with x asks for; such kernels are written in CUDA. NVRTC and its Python bindings come with torch's
CUDA builds (``cuda-bindings`` and ``nvidia-cuda-nvrtc`` where a build of torch has them not).
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from neurosparse.sparse.cuda.launch import CudaError, Launch

HERE = Path(__file__).parent
COMMON = tuple(HERE / name for name in ("prelude.cu", "gap_groups.cu"))
"""What every source begins with."""


@functools.cache
def installed() -> bool:
    """Whether there are bindings of NVRTC and the driver."""
    try:
        return importlib.util.find_spec("cuda.bindings.nvrtc") is not None
    except ModuleNotFoundError:
        return False


def _checked(answer: tuple[Any, ...], what: str, log: str = "") -> Any:
    """What a call of the bindings gives after its status."""
    status, *rest = answer
    if int(status) != 0:
        raise CudaError(f"{what}: {status.name}{log}")
    return rest[0] if len(rest) == 1 else tuple(rest)


def compile_source(path: Path, options: Sequence[str]) -> bytes:
    """Machine code of a source file after what all begin with.

    Raises
    ------
    CudaError
        It does not compile; the compiler's words are in it.
    """
    from cuda.bindings import nvrtc

    source = b"".join(one.read_bytes() for one in (*COMMON, path))
    program = _checked(nvrtc.nvrtcCreateProgram(source, path.name.encode(), 0, [], []), "NVRTC")
    try:
        flags = [one.encode() for one in options]
        answer = nvrtc.nvrtcCompileProgram(program, len(flags), flags)
        size = _checked(nvrtc.nvrtcGetProgramLogSize(program), "NVRTC's log")
        log = b" " * size
        nvrtc.nvrtcGetProgramLog(program, log)
        _checked(answer, f"compile {path.name}", f"\n{log.decode(errors='replace')}")
        code = b" " * _checked(nvrtc.nvrtcGetCUBINSize(program), "NVRTC")
        _checked(nvrtc.nvrtcGetCUBIN(program, code), "NVRTC")
        return bytes(code)
    finally:
        nvrtc.nvrtcDestroyProgram(program)


class Kernel:
    """One function of a compiled source, loaded on one card.

    Parameters
    ----------
    path, name
        Where the source is and what the function is called in it (``extern "C"``).
    defines
        Macros that are set.
    device
        The card.
    """

    def __init__(self, path: Path, name: str, defines: Mapping[str, int],
                 device: torch.device) -> None:
        from cuda.bindings import driver

        major, minor = torch.cuda.get_device_capability(device)
        options = [f"--gpu-architecture=sm_{major}{minor}", "--std=c++17",
                   *(f"-D{key}={value}" for key, value in defines.items())]
        code = compile_source(path, options)
        self._device, self._overlap = device, major >= 9
        with torch.cuda.device(device):
            torch.cuda.current_stream()  # the card's context, before the driver is asked
            self._module = _checked(driver.cuModuleLoadData(code), f"load {name}")
            self._function = _checked(driver.cuModuleGetFunction(self._module, name.encode()), name)
        self._driver = driver

    def allow_shared(self, nbytes: int) -> None:
        """Have more shared memory than a kernel has without asking."""
        most = self._driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        _checked(self._driver.cuFuncSetAttribute(self._function, most, nbytes), "shared memory")

    def prepare(self, blocks: int, threads: int, shared: int, arguments: Sequence[Any]) -> Launch:
        """A launch that can be repeated; a change of an argument's value is seen by the next.

        The kernel may begin before the one ahead of it in the stream has ended, and must itself
        wait for that before it reads or writes what others write (``wait_for_previous``).

        Parameters
        ----------
        arguments
            ctypes values, in the order of the function's parameters.
        """
        return Launch(int(self._function), self._device, blocks, threads, shared, arguments,
                      overlap=self._overlap)


@functools.cache
def kernel(path: Path, name: str, device: torch.device, shared: int, **defines: int) -> Kernel:
    """Compiled with these macros, once; ``shared``: the most bytes of shared memory it is given."""
    made = Kernel(path, name, defines, device)
    made.allow_shared(shared)
    return made
