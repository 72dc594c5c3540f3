"""Time of the stationary mean-field theory, to 1e-8.

    python benchmarks/bench_meanfield.py

Variance, autocovariance and largest exponent at each gain; the first call is not counted. Beside
them the zero mode: the second eigenvalue of the exponent's operator, which is exactly zero (its
eigenfunction is the slope of the autocovariance), so what is found there is error.
"""

from __future__ import annotations

import time
from statistics import median

from neurosparse import meanfield

GAINS = (1.05, 1.5, 3.0, 10.0, 20.0)


def main() -> None:
    meanfield.stationary(2.0)
    for g in GAINS:
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            found = meanfield.stationary(g)
            exponent = found.max_exponent
            seconds.append(time.perf_counter() - start)
        print(f"g={g:5g}  {median(seconds):.3f} s  variance {found.variance:.8f}  "
              f"exponent {exponent:.8f}  zero mode {found.zero_mode:.0e}")


if __name__ == "__main__":
    main()
