"""Kernels in CUDA C++ over the order of ``neurosparse.sparse.gaps``.

Nothing here is imported before the first product on a card.
"""
