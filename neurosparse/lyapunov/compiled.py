"""Compiled loops for small systems: integration, tangent vectors and QR in one.

The user's functions come in as one C function pointer of a fixed type, so each loop is compiled
once per machine and cached, whatever the system. Tangent vectors are rows here: the transpose of a
frame in Fortran order, without a copy.
"""

# Types are left out of the signatures: they are numba's.
# mypy: disable-error-code="no-untyped-def, misc, untyped-decorator, no-untyped-call"

from __future__ import annotations

import numpy as np
from numba import njit

_EPS = 2.220446049250313e-16
_LOST = 8 * _EPS


@njit(cache=True, error_model="numpy")
def orthonormalise_rows(rows, logs):
    """Modified Gram-Schmidt, twice: rows [k, n] become orthonormal, logs [k] of their lengths.

    A row of which nothing is left has log -inf and is redrawn as the unit vector that is farthest
    from the others.
    """
    _orthonormalise(rows, 0, logs.reshape(1, logs.shape[0]), 0)


@njit(cache=True, error_model="numpy")
def _orthonormalise(rows, first, logs, block):
    """As above, for the rows from ``first`` on and row ``block`` of the logs, without a view."""
    k, n = rows.shape
    lost = _LOST * np.sqrt(k - first)
    for i in range(first, k):
        before = _length(rows, i)
        _take_out(rows, first, i)
        after = _length(rows, i)
        if after <= lost * before:
            logs[block, i - first] = -np.inf
            _redraw(rows, first, i)
            continue
        logs[block, i - first] = np.log(after)
        scale = 1 / after
        for m in range(n):
            rows[i, m] *= scale


@njit(cache=True, error_model="numpy")
def _length(rows, i):
    total = 0.0
    for m in range(rows.shape[1]):
        total += rows[i, m] * rows[i, m]
    return np.sqrt(total)


@njit(cache=True, error_model="numpy")
def _take_out(rows, first, i):
    """Take the rows from ``first`` to ``i`` out of row ``i``; the second pass repairs the first."""
    for _ in range(2):
        for j in range(first, i):
            overlap = 0.0
            for m in range(rows.shape[1]):
                overlap += rows[j, m] * rows[i, m]
            for m in range(rows.shape[1]):
                rows[i, m] -= overlap * rows[j, m]


@njit(cache=True, error_model="numpy")
def _redraw(rows, first, i):
    n = rows.shape[1]
    best, chosen = -1.0, 0
    for axis in range(n):
        left = 1.0
        for j in range(first, i):
            left -= rows[j, axis] * rows[j, axis]
        if left > best:
            best, chosen = left, axis
    rows[i, :] = 0.0
    rows[i, chosen] = 1.0
    _take_out(rows, first, i)
    length = _length(rows, i)
    for m in range(n):
        rows[i, m] /= length


@njit(cache=True, error_model="numpy")
def _finish_block(z, first, logs, block):
    """Orthonormalise the rows from ``first`` on; whether these and the ones before are finite."""
    _orthonormalise(z, first, logs, block)
    for i in range(logs.shape[1]):
        if np.isnan(logs[block, i]) or logs[block, i] == np.inf:
            return False
    for i in range(first):
        for m in range(z.shape[1]):
            if not np.isfinite(z[i, m]):
                return False
    return True


@njit(cache=True, error_model="numpy")
def _combine(out, base, slopes, weights, s, count, dt):
    """``out = base + dt sum_r weights[s, r] slopes[r]``, r < count; zero weights cost nothing."""
    begun = False
    for r in range(count):
        a = weights[s, r] * dt
        if a == 0.0:
            continue
        if begun:
            for m in range(base.shape[0]):
                out[m] += a * slopes[r, m]
        else:
            for m in range(base.shape[0]):
                out[m] = base[m] + a * slopes[r, m]
            begun = True
    if not begun:
        for m in range(base.shape[0]):
            out[m] = base[m]


@njit(cache=True, error_model="numpy")
def run_flow(field, weights, nodes, x, rows, start, dt, steps, logs, p, factor):
    """Runge-Kutta steps of x [n] and rows [k, n]: len(logs) blocks of ``steps`` steps, in place.

    ``weights`` [S + 1, S] are those of the stages and, last, of the step. Returns the integral of
    the trace. Where ``factor`` is false nothing is orthonormalised. From where something is not
    finite the logs are NaN.
    """
    count, (k, n), volume = nodes.shape[0], rows.shape, 0.0
    z, y, slopes = np.empty((1 + k, n)), np.empty((1 + k, n)), np.empty((count, 1 + k, n))
    flat_z, flat_y = z.reshape((1 + k) * n), y.reshape((1 + k) * n)
    flat_slopes = slopes.reshape((count, (1 + k) * n))
    z[0], z[1:] = x, rows
    for block in range(logs.shape[0]):
        for step in range(steps):
            t = start + (block * steps + step) * dt
            for s in range(count):
                _combine(flat_y, flat_z, flat_slopes, weights, s, s, dt)
                trace = field(t + nodes[s] * dt, y, slopes, s, p)
                volume += weights[count, s] * dt * trace
            _combine(flat_z, flat_z, flat_slopes, weights, count, count, dt)
        if factor and not _finish_block(z, 1, logs, block):
            logs[block:] = np.nan
            break
    x[:], rows[:] = z[0], z[1:]
    return volume


@njit(cache=True, error_model="numpy")
def run_map(field, x, rows, first, steps, logs, p, factor):
    """Steps of a map, as :func:`run_flow`; returns the sum of log |det|."""
    (k, n), volume = rows.shape, 0.0
    z, out = np.empty((1 + k, n)), np.empty((1, 1 + k, n))
    z[0], z[1:] = x, rows
    for block in range(logs.shape[0]):
        for step in range(steps):
            volume += field(first + block * steps + step, z, out, 0, p)
            for i in range(1 + k):
                for m in range(n):
                    z[i, m] = out[0, i, m]
        if factor and not _finish_block(z, 1, logs, block):
            logs[block:] = np.nan
            break
    x[:], rows[:] = z[0], z[1:]
    return volume


@njit(cache=True, error_model="numpy")
def run_product(matrices, rows, first, steps, logs):
    """Products of matrices [T, n, n] from ``first`` on with rows [k, n], as :func:`run_flow`."""
    k, n = rows.shape
    w = np.empty((k, n))
    for block in range(logs.shape[0]):
        for step in range(steps):
            matrix = matrices[first + block * steps + step]
            w[:] = rows
            for i in range(k):
                for m in range(n):
                    total = 0.0
                    for j in range(n):
                        total += matrix[m, j] * w[i, j]
                    rows[i, m] = total
        if not _finish_block(rows, 0, logs, block):
            logs[block:] = np.nan
            break
