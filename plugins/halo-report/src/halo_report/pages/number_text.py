"""Numbers, times and durations as readers see them."""

from __future__ import annotations

from datetime import UTC, datetime


def number_text(value: float) -> str:
    """Returns a number with as many digits as a reader needs.

    >>> [number_text(value) for value in (200, 12345.0, 0.59512, 5e-7)]
    ['200', '12345', '0.5951', '5e-07']
    """
    return str(int(value)) if value == int(value) else f"{value:.4g}"


def moment_text(seconds: float | None) -> str:
    """Returns a time in UTC, or "" if it is not known.

    >>> moment_text(0.5), moment_text(None)
    ('1970-01-01 00:00:00 UTC', '')
    """
    return (
        "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    )


def duration_text(seconds: float) -> str:
    """Returns a duration in its two largest units.

    >>> [duration_text(seconds) for seconds in (0.4, 42, 125, 7260)]
    ['under 1 s', '42 s', '2 min 5 s', '2 h 1 min']
    """
    if 0 < seconds < 1:
        return "under 1 s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
