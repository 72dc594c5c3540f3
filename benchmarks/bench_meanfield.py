"""Time of the stationary mean-field theory, to 1e-8.

    python benchmarks/bench_meanfield.py

Variance, autocovariance and largest exponent at each gain; the first call, which compiles nothing,
is not counted. Beside it the difference to a run at half the lag step: what the discretisation
leaves.
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
        step = float(found.lags[1] - found.lags[0])
        finer = meanfield.stationary(g, lag_step=step / 2)
        print(f"g={g:5g}  {median(seconds):.3f} s  variance {found.variance:.8f} "
              f"(half step {abs(finer.variance - found.variance):.0e})  exponent {exponent:.8f} "
              f"(half step {abs(finer.max_exponent - exponent):.0e})")


if __name__ == "__main__":
    main()
