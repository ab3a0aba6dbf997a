"""How a check fails: with an AssertionError that names the component, also under ``python -O``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


def expect(condition: bool, subject: object, problem: str) -> None:
    """Raises unless a condition holds.

    Args:
        condition: What must be true.
        subject: The component that is checked.
        problem: What came and what was expected.

    Raises:
        AssertionError: When `condition` is false.
    """
    if not condition:
        raise AssertionError(f"{subject!r}: {problem}")


@contextmanager
def must_not_raise(subject: object, doing: str) -> Iterator[None]:
    """Turns an exception of the component into a failure that says what was being done.

    Raises:
        AssertionError: When the body raises anything but an AssertionError.
    """
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(
            f"{subject!r}: {doing} raised {type(error).__name__}: {error}"
        ) from error
