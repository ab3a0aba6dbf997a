"""The differences between two runs: their specs, their data, the versions and the results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from halo_core.errors import DataError
from halo_core.overview.run_entry import RunEntry
from halo_core.overview.spec_difference import Difference, differences, spec_differences
from halo_core.workspace.records import RESOLVED_SPEC, stage_done

FIRST, SECOND = "a", "b"
"""Labels of the two runs in a `Difference`."""


@dataclass(frozen=True)
class NumberPair:
    """A final number of both runs.

    Attributes:
        stage: Id of the stage.
        metric: Name of the number.
        a: Its value in the first run; None if it has none.
        b: Its value in the second run; None if it has none.
    """

    stage: str
    metric: str
    a: float | None
    b: float | None

    @property
    def difference(self) -> float | None:
        """The second value minus the first; None if one is missing."""
        return None if self.a is None or self.b is None else self.b - self.a


@dataclass(frozen=True)
class RunDifference:
    """The differences between two runs.

    Attributes:
        spec: Options in which the resolved specs differ.
        data: Parts of the data's identities that differ: digests, splits, options.
        versions: Versions of Python, packages and components that differ.
        results: Final numbers that differ, in the order of the stages.
        same: Number of final numbers that are the same.
    """

    spec: list[Difference]
    data: list[Difference]
    versions: list[Difference]
    results: list[NumberPair]
    same: int


def run_difference(a: RunEntry, b: RunEntry) -> RunDifference:
    """Returns the differences between two runs.

    Raises:
        DataError: When the record of a run or of a finished stage cannot be read.
    """
    for entry in (a, b):
        if entry.problem:
            raise DataError(entry.problem)
    numbers = _numbers(a, b)
    return RunDifference(
        spec=spec_differences({FIRST: _resolved(a), SECOND: _resolved(b)}),
        data=differences({FIRST: _data(a), SECOND: _data(b)}),
        versions=differences({FIRST: _versions(a), SECOND: _versions(b)}),
        results=[pair for pair in numbers if pair.a != pair.b],
        same=sum(pair.a == pair.b for pair in numbers),
    )


def _resolved(entry: RunEntry) -> str:
    try:
        return (entry.folder / RESOLVED_SPEC).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _data(entry: RunEntry) -> dict[str, Any]:
    """Returns the sources of each data set: the component with its options, the digest, the split.

    Versions of components are left out, because they are compared by themselves.
    """
    return {
        name: [
            {
                **{key: value for key, value in source.items() if key != "component"},
                "use": source.get("component", {}).get("use"),
                **source.get("component", {}).get("options", {}),
            }
            for source in sources
        ]
        for name, sources in entry.record.get("data", {}).items()
    }


def _versions(entry: RunEntry) -> dict[str, str]:
    """Returns versions by name. A component has the hash of its source, too."""
    components = {
        f"{part['kind']} {part['name']}": f"{part['version']} (source {part['source'][:8]})"
        for part in entry.record.get("components", [])
    }
    return {**entry.record.get("versions", {}), **components}


def _numbers(a: RunEntry, b: RunEntry) -> list[NumberPair]:
    first, second = _results(a), _results(b)
    return [
        NumberPair(stage, metric, first.get((stage, metric)), second.get((stage, metric)))
        for stage, metric in dict.fromkeys([*first, *second])
    ]


def _results(entry: RunEntry) -> Mapping[tuple[str, str], float]:
    folders = entry.stage_folders()
    found: dict[tuple[str, str], Any] = {}
    for id_, folder in folders.items():
        done = stage_done(folder)
        for metric, value in (done["metrics"] if done else {}).items():
            found[id_, metric] = value
    return found
