"""Sweeps: one function over a grid of its arguments, on many workers, into one file.

Floor 0: NumPy and h5py alone. Any executor with ``submit`` serves, ``dask.distributed``'s
``Client.get_executor()`` among them; dask itself is never imported here.
"""

from __future__ import annotations

from neurosparse.sweeps.grid import draw_seed
from neurosparse.sweeps.result import SweepResult
from neurosparse.sweeps.run import sweep

__all__ = ["SweepResult", "draw_seed", "sweep"]
