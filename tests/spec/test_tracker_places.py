"""Two trackers of a spec that would keep one record of a run are a mistake at the second one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from halo_core.errors import PluginError, SpecErrors
from halo_core.spec.document import Document
from halo_core.spec.mistakes import Mistakes
from halo_core.spec.resolved import Resolved
from halo_core.spec.tracker_places import check_places
from halo_core.tracker import Tracker


class Board(Tracker):
    """A board."""

    address: str = Field("", description="The board's address.")
    colour: str = Field("", description="Its colour.")

    def writes_to(self) -> Any:
        if self.address == "odd":
            return 3
        if self.address == "worse":
            raise ValueError("no place")
        return self.address or None

    def open(self, run: Path, workspace: Path) -> Any:
        raise NotImplementedError


def check(*trees: dict[str, str], name: str = "board") -> None:
    document = Document("spec.yaml", Path(), {"tracking": [*trees]})
    mistakes = Mistakes(document)
    names = [tree.get("use", name) for tree in trees]
    options = [{k: v for k, v in tree.items() if k != "use"} for tree in trees]
    registration: Any = None
    check_places(
        [
            Resolved(Board(**each), names[i], registration, each, ("tracking", i))
            for i, each in enumerate(options)
        ],
        mistakes,
    )
    mistakes.raise_if_any()


def test_two_trackers_with_one_place_are_told_at_the_second_one() -> None:
    with pytest.raises(SpecErrors) as caught:
        check(
            {"address": "http://a"}, {"address": "http://b"}, {"address": "http://a", "colour": "x"}
        )
    assert (
        "spec.yaml: board sends each run to http://a, and so does tracking.0: both would keep one "
        "record of a run there; expected another place, or one of them"
    ) in str(caught.value)


def test_other_places_other_names_and_trackers_without_a_place_are_right() -> None:
    check({"address": "http://a"}, {"address": "http://b"})
    check({"address": "http://a", "use": "one"}, {"address": "http://a", "use": "two"})
    check({"colour": "x"}, {"colour": "y"})
    # The same options are another mistake: see test_spec_checks.py.
    check({"address": "http://a"}, {"address": "http://a"})


@pytest.mark.parametrize(
    ("address", "words"),
    [("odd", "gave 3; expected a text or None"), ("worse", "raised ValueError: no place")],
)
def test_a_tracker_that_cannot_say_its_place_is_named(address: str, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        check({"address": address})
