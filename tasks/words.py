"""Quantities as a person reads them."""

_MINUTE_S, _HOUR_S, _KIB = 60, 3600, 1024


def size(count: int) -> str:
    """Write bytes with a binary unit: 512 B, 1.5 GiB."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < _KIB:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"  # noqa: PLR2004
        value /= _KIB
    return f"{value:.1f} TiB"


def duration(seconds: float) -> str:
    """Write a duration in its two largest units: 42s, 3m07s, 5h12m, 2d3h."""
    whole = int(seconds)
    if whole < _MINUTE_S:
        return f"{whole}s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S}m{whole % _MINUTE_S:02}s"
    if whole < 24 * _HOUR_S:
        return f"{whole // _HOUR_S}h{whole // _MINUTE_S % 60:02}m"
    return f"{whole // (24 * _HOUR_S)}d{whole // _HOUR_S % 24}h"
