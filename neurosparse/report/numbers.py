"""Numbers as a reader wants them: sensible digits, a unit, and the error where there is one."""

from __future__ import annotations

import math

MISSING = "–"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def significant(value: float | None, digits: int = 3) -> str:
    """``value`` with ``digits`` significant digits, powers of ten only far from one.

    Examples
    --------
    >>> significant(0.0123456), significant(12.3456, 4), significant(2e-7)
    ('0.0123', '12.35', '2.00 × 10⁻⁷')
    """
    if value is None:
        return MISSING
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = math.floor(math.log10(abs(rounded)))
    if not -4 <= exponent < 7:
        mantissa = rounded / 10.0**exponent
        return f"{mantissa:.{digits - 1}f} × {power_of_ten(exponent)}".replace("-", "−")
    return _grouped(rounded, max(digits - 1 - exponent, 0))


def _grouped(value: float, decimals: int) -> str:
    """Fixed point with a thin gap at thousands above 9999 and a true minus sign."""
    text = f"{value:,.{decimals}f}".replace("-", "−")
    return text.replace(",", "\u202f" if abs(value) >= 10_000 else "")


def power_of_ten(exponent: int) -> str:
    """``10⁻³`` for -3, in plain Unicode so that any font sets it."""
    return "10" + str(exponent).translate(_SUPERSCRIPT)


def with_error(value: float | None, error: float | None) -> str:
    """``value ± error``, both cut at the error's second significant digit.

    Examples
    --------
    >>> with_error(82.4913, 3.1416), with_error(12.19, None), with_error(0.5, 0.0)
    ('82.5 ± 3.1', '12.19', '0.5000 ± 0')
    """
    if value is None:
        return MISSING
    if error is None or not math.isfinite(error) or not math.isfinite(value):
        return significant(value, 4)
    if error == 0:
        return f"{significant(value, 4)} ± 0"
    if abs(value) >= 1e7 or error < 1e-7:
        return f"{significant(value, 4)} ± {significant(error, 2)}"
    rounded = float(f"{error:.1e}")
    decimals = max(1 - math.floor(math.log10(rounded)), 0)
    return f"{_grouped(round(value, decimals), decimals)} ± {_grouped(rounded, decimals)}"


def percent(share: float | None, decimals: int = 1) -> str:
    """A share as percent.

    Examples
    --------
    >>> percent(0.6)
    '60.0 %'
    """
    return MISSING if share is None else f"{100 * share:.{decimals}f} %".replace("-", "−")


def size(count: int | float | None) -> str:
    """Bytes in decimal units (1 MB = 10⁶ bytes).

    Examples
    --------
    >>> size(98_400_000), size(512), size(269_060_552)
    ('98.4 MB', '512 bytes', '269 MB')
    """
    return _scaled(count, (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)), "bytes")


def quantity(count: int | float | None) -> str:
    """A count of parameters.

    Examples
    --------
    >>> quantity(106_168_320), quantity(960)
    ('106 million', '960')
    """
    return _scaled(count, (("billion", 1e9), ("million", 1e6), ("thousand", 1e3)), "")


def _scaled(count: int | float | None, units: tuple[tuple[str, float], ...], plain: str) -> str:
    if count is None:
        return MISSING
    for name, unit in units:
        # 999.6 thousand would be printed as "1000 thousand"; it belongs to the next unit.
        if abs(count) >= 0.9995 * unit:
            return f"{significant(count / unit)} {name}"
    return f"{count:.0f} {plain}".strip()


def duration(seconds: float | None) -> str:
    """Seconds, minutes or hours.

    Examples
    --------
    >>> duration(0.01234), duration(12.34), duration(251.0), duration(7384.0)
    ('12.3 ms', '12.3 s', '4 min 11 s', '2 h 3 min')
    """
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 0.9995:
        return f"{significant(1000 * seconds)} ms"
    if seconds < 59.95:
        return f"{significant(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min"


def against(value: float, reference: float) -> str:
    """How many times smaller or larger ``value`` is than ``reference``.

    Examples
    --------
    >>> against(50.0, 200.0), against(200.0, 100.0), against(100.0, 100.0)
    ('4.00× smaller', '2.00× larger', 'the same size')
    """
    if value <= 0 or reference <= 0:
        return MISSING
    if abs(value / reference - 1) < 5e-4:
        return "the same size"
    if value < reference:
        return f"{significant(reference / value)}× smaller"
    return f"{significant(value / reference)}× larger"
