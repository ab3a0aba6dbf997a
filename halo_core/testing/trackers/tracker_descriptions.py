"""Checks the descriptions of a tracker: JSON with a label, and addresses that exist."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from halo_core.testing.component import expect
from halo_core.tracker import Tracker
from halo_core.tracking.descriptions import describe_all


def described(tracker: Tracker, call: str, answer: object) -> Mapping[str, Any]:
    """Returns a description as halo shows it; an empty one if nothing is offered.

    Args:
        tracker: The tracker.
        call: The method that returned it.
        answer: The value that it returned.

    Raises:
        AssertionError: When it is not valid, has no label, or names no page that can be found.
    """
    problems: list[BaseException] = []
    descriptions = describe_all(
        {"it": tracker}, call, lambda _: answer, lambda _, error: problems.append(error)
    )
    expect(not problems, tracker, str(problems[0]) if problems else "")
    if isinstance(answer, Mapping) and answer:
        expect("label" in answer, tracker, f"{call}() gave no 'label', its name for people")
    description = descriptions.get("it", {})
    links: Any = description.get("links", {})
    for name, url in {"url": description.get("url"), **links}.items():
        if isinstance(url, str) and url:
            _check_address(tracker, call, name, url)
    return description


def _check_address(tracker: Tracker, call: str, name: str, url: str) -> None:
    """Checks that an address is whole, and that a file that it names exists."""
    said = f"{call}() gave {url!r} as {name!r}"
    parts = urlsplit(url)
    expect(
        bool(parts.scheme) or Path(url).is_absolute(),
        tracker,
        f"{said}; expected a whole address, such as https://host/page or the as_uri() of a path",
    )
    if parts.scheme == "file":
        expect(
            " " not in url and Path(unquote(parts.path)).exists(),
            tracker,
            f"{said}, and there is no such file; expected the as_uri() of a path that exists once "
            "all events are handled",
        )


def check_own_page(tracker: Tracker, told: Mapping[str, Mapping[str, Any]]) -> None:
    """Checks that the address of a run does not name another run.

    Args:
        tracker: The tracker.
        told: The descriptions of runs by the name of each.

    Raises:
        AssertionError: When it does.
    """
    for run, description in told.items():
        url = description.get("url")
        if not isinstance(url, str) or _names(url, run):
            continue
        other = next((name for name in told if _names(url, name)), None)
        expect(
            other is None,
            tracker,
            f"describe() of the run {run} gave {url!r}, which names the run {other}; expected its "
            "own page. Does the tracker keep something between sessions?",
        )


def _names(url: str, run: str) -> bool:
    """Returns whether an address has the name of a run, and not only one that begins like it."""
    return re.search(rf"{re.escape(run)}(?![\w-])", url) is not None


__all__ = ["check_own_page", "described"]
