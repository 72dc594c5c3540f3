"""ATP's headline: Llama-2-7B at 70 % with Wanda, uniform against the arithmetic progression.

    python examples/headlines/atp_llama2_70.py MODEL --report-text TEST [--calibration TRAIN]
    python examples/headlines/atp_llama2_70.py --tiny

The paper (arXiv 2502.14770) reports a perplexity lower by 52.10 on WikiText-2 and a zero-shot mean
higher by 10.50 points. Its step is chosen on the very text that is reported; here it is chosen on
the selection part of the calibration text, and the rule `propagation`, which needs no trial, stands
beside it. MODEL is a folder or hub id of Llama-2-7B (26 GB of memory in float32 while it is read; a
streamed model needs one block), texts are files or `datasets:NAME:CONFIG:SPLIT`:

    --calibration datasets:allenai/c4:en:train
    --report-text datasets:wikitext:wikitext-2-raw-v1:test
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tiny import headline_parser, write_tiny

import neurosparse as ns


def main() -> None:
    """Three runs of ``compress``, one line each."""
    parser = headline_parser(__doc__ or "", window_length=2048, out="out/atp-headline")
    parser.add_argument("--calibration")
    arguments = parser.parse_args()
    if not arguments.tiny and arguments.model is None:
        parser.error("name the model, or --tiny")
    with tempfile.TemporaryDirectory() as folder:
        if arguments.tiny:
            model, text = write_tiny(Path(folder))
            options = {"calibration": text, "windows": 4, "window_length": 32,
                       "selection_windows": 4, "report_windows": 4}
            out = Path(folder) / "out"
        else:
            out = Path(arguments.out)
            model = arguments.model
            options = {name: getattr(arguments, name) for name in (
                "calibration", "report_text", "windows", "window_length", "report_windows",
                "device", "dtype")}
        found = {}
        for name, rule in {"uniform": {"rule": "uniform"},
                           "arithmetic, step searched": {"rule": "arithmetic",
                                                         "search_step": True},
                           "propagation, no trial": {"rule": "propagation"}}.items():
            done = ns.compress(model, arguments.sparsity, out=str(out / rule["rule"]), resume=True,
                               **rule, **options)
            rows = done.results["rows"]
            dense, packed = rows[0], rows[-1]
            found[name] = packed["perplexity"]
            print(f"{name:<28} perplexity {packed['perplexity']:.2f} +- "
                  f"{packed['perplexity_stderr']:.2f}   dense {dense['perplexity']:.2f}",
                  flush=True)
        gain = found["uniform"] - found["arithmetic, step searched"]
        print(f"ATP lowers the perplexity by {gain:.2f} (paper, Llama-2-7B: 52.10), propagation by "
              f"{found['uniform'] - found['propagation, no trial']:.2f}")


if __name__ == "__main__":
    main()
