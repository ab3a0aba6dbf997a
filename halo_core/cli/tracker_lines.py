"""Lines at the end of a command that say where trackers show the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

LABEL_WIDTH = 8


def label_lines(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Returns one line for each label and text.

    >>> label_lines([("report", "report.html"), ("", "and more")])
    ['  report  report.html', '          and more']
    """
    width = max([LABEL_WIDTH, *(len(label) + 1 for label, _ in rows)])
    return [f"  {label:<{width}}{text}" for label, text in rows]


def tracker_rows(trackers: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Returns a label and a text for each line about the trackers.

    Args:
        trackers: Descriptions by name, as `halo_core.tracking.descriptions.describe_all` returns.
    """
    rows: list[tuple[str, str]] = []
    for description in trackers.values():
        texts = list(_texts(description))
        labels = [str(description["label"]), *([""] * len(texts))]
        rows += zip(labels, texts, strict=False)
    return rows


def tracker_links(trackers: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Returns the address of each page of the trackers, by label."""
    links: dict[str, str] = {}
    uses = Counter(description["label"] for description in trackers.values())
    for name, description in trackers.items():
        label = (
            description["label"]
            if uses[description["label"]] == 1
            else f"{description['label']} ({name})"
        )
        if description.get("url"):
            links[label] = description["url"]
        links |= {f"{label}: {page}": link for page, link in description.get("links", {}).items()}
    return links


def _texts(description: Mapping[str, Any]) -> Iterator[str]:
    if description.get("ui"):
        # Nothing serves the pages yet, so the first one is enough.
        yield str(description["ui"])
        if description.get("url"):
            yield f"then {description['url']}"
        return
    if description.get("url"):
        yield str(description["url"])
    for page, link in description.get("links", {}).items():
        yield f"{page}: {link}"
