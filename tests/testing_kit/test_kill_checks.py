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
    fault: str, error: Any, said: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        check_killed(Steps(fault=fault), stage_context(tmp_path), points=9)
