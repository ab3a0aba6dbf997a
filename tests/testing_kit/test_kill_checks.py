"""A stage that is killed and continued: the kit kills it where it matters."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field

from halo_core import Stage, StageContext, StageResult, UserError
from halo_core.testing import check_killed, stage_context
from halo_core.testing.stages import kills
from halo_core.workspace.records import SAMPLES, SampleLine


class Steps(Stage):
    """Appends lines one by one, and continues after the last whole line."""

    produces: ClassVar = "samples"
    fault: str = Field(default="", description="Fault of the stage.")

    def run(self, context: StageContext) -> StageResult:
        if self.fault == "refuses":
            raise UserError("no rows")
        if self.fault == "raises":
            raise KeyError("rows")
        part, done = context.folder / "part.jsonl", context.folder / SAMPLES.name
        lines = list(SAMPLES.read(part)) if part.exists() else []
        if self.fault == "forgets":
            lines = []
        for number in range(len(lines), 4):
            prompt = [{"role": "user", "content": f"{number}?"}]
            line = SampleLine(prompt_id="p", prompt=prompt, completion="a", tokens=1)
            if self.fault == "forgets":
                with part.open("a") as file:
                    file.write(json.dumps({"v": 1, **line}) + "\n")
            else:
                SAMPLES.write(part, [*lines, line])
                lines = list(SAMPLES.read(part))
        SAMPLES.write(done, list(SAMPLES.read(part)))
        took = time.perf_counter() if self.fault == "" else 0.0
        return StageResult({"lines": len(list(SAMPLES.read(done))), "took": took})


@pytest.mark.slow
def test_a_stage_that_continues_passes_although_its_time_differs(tmp_path: Path) -> None:
    check_killed(Steps(), stage_context(tmp_path))


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ("forgets", AssertionError, r"right after it opened or renamed file \d of \d: the metric"),
        ("raises", AssertionError, "run\\(\\) in an empty folder: KeyError: 'rows'"),
        ("refuses", UserError, "no rows"),
    ],
)
def test_a_stage_that_does_not_continue_is_found(
    fault: str, error: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kills, "half_written", lambda *_: "")  # It finds the same fault.
    monkeypatch.setattr(kills, "journal_of", lambda *_: ("", 0))  # This, too.
    with pytest.raises(error, match=said):
        check_killed(Steps(fault=fault), stage_context(tmp_path), points=9)


def test_half_a_line_of_a_file_that_is_continued_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kills, "half_written", lambda *_: "")
    monkeypatch.setattr(kills, "_instants", lambda *_: iter([]))
    with pytest.raises(
        AssertionError, match=r"in the middle of a line of part\.jsonl asks the user"
    ):
        check_killed(Steps(fault="forgets"), stage_context(tmp_path))


def never(_: Path) -> None:
    """A kill that comes too late."""


@pytest.mark.slow
def test_a_kill_that_comes_too_late_is_tried_again_earlier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    third = ("at file 3", lambda folder: kills._die_after(folder, 3))
    instants = [[("late", never), third], [("last", never)]]
    monkeypatch.setattr(kills, "_instants", lambda *_: iter(instants))
    monkeypatch.setattr(kills, "half_written", lambda *_: "")
    monkeypatch.setattr(kills, "journal_of", lambda *_: ("", 0))
    with pytest.raises(AssertionError, match="after it was killed at file 3: the metric"):
        check_killed(Steps(fault="forgets"), stage_context(tmp_path))
    assert check_killed(Steps(), stage_context(tmp_path)) == ["last"]


def test_kills_that_all_come_too_late_prove_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kills, "_instants", lambda *_: iter([[("after 3 s", never)]]))
    with pytest.raises(kills.NothingProvedError, match=r"no run was killed, .* \(after 3 s\)"):
        check_killed(Steps(), stage_context(tmp_path))


def test_earlier_instants_end_with_the_first_file_and_a_short_time() -> None:
    *files, times = kills._instants(9, 2, 3.2)
    numbers = [[where.split(" file ")[1] for where, _ in tries] for tries in files]
    assert numbers == [["1 of 9"], ["9 of 9", "4 of 9", "2 of 9", "1 of 9"]]
    assert [where for where, _ in times][::5] == ["after 1.6 s", "after 0.05 s"]
