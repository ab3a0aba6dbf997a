"""Components whose options break the rule `breaks`."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from halo_core import Location, Report


class Sheet(Report):
    """Writes how many events a run has. Its options keep the rules."""

    breaks: ClassVar[str] = ""

    weights: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=(1.0,), description="Sizes.")
    file: Annotated[Path | None, Location()] = Field(default=None, description="A file.")

    def write(self, run: Path) -> Path:
        page = run / "sheet.txt"
        events = (run / "events.jsonl").read_text("utf-8").splitlines()
        page.write_text(f"{len(events)} events, {self.weights}\n", "utf-8")
        return page


class FreeList(Sheet):
    """Has a list of numbers without bounds."""

    breaks = "option-bounds"
    sizes: tuple[float, ...] = Field(default=(1.0,), description="Sizes.")


class AnyThing(Sheet):
    """Has an option of any type."""

    breaks = "option-types"
    thing: Any = Field(default=None, description="A thing.")


class PlainPath(Sheet):
    """Has a path that depends on the current folder."""

    breaks = "option-types"
    place: Path = Field(default=Path("notes.txt"), description="A file.")


class OpenKey(Sheet):
    """Has a key that each run would record."""

    breaks = "option-types"
    api_key: str = Field(default="", description="The key of the service.")


class DefaultByChance(Sheet):
    """Has another default each time."""

    breaks = "option-defaults"
    salt: int = Field(
        default_factory=lambda: random.randrange(10**9), ge=0, description="A number."
    )


class RaisesKeyError(Sheet):
    """Has a validator that raises a KeyError."""

    breaks = "option-values"
    digits: int = Field(default=3, ge=1, le=9, description="Digits.")

    def model_post_init(self, context: Any) -> None:
        if self.digits != 3:
            raise KeyError("digits")
