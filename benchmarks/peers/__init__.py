"""Workers of ``bench_peers.py``: one peer a file, each run in an environment of its own.

A worker module runs as ``python -m peers.NAME OPTIONS`` from ``benchmarks/`` with the peer's own
Python, so it may import NumPy, its peer, and of this package ``stack``, ``talk`` and
``weights`` alone.
"""
