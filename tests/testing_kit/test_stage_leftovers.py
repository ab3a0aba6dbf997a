"""The test kit finds what a stage leaves, loses or tells wrongly, and lets a right one pass."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field

from halo_core import DataRef, Feedback, Stage, StageContext, StageResult
from halo_core.check.stage_rules import stage_with
from halo_core.testing.advice import KitAdvice
from halo_core.testing.circumstances.elsewhere import MACHINE, _ask, answer
from halo_core.testing.data.data_identity import described
from halo_core.testing.stages.idle_processes import ends
from halo_core.testing.stages.rules import check_runs
from halo_core.testing.stages.stage_inputs import given_context
from halo_core.testing.stages.stage_passed_on import check_stage_passed_on

KEPT: dict[str, str] = {}
STARTED: list[subprocess.Popen[bytes]] = []


class Labels(Stage):
    """Marks long demonstrations as desirable, with one mistake."""

    produces: ClassVar = "feedback"
    seeded: ClassVar = False
    rows: DataRef = Field(description="Demonstrations.")
    fault: str = Field(default="", description="Its mistake.")

    def feedback_given(self) -> Feedback:
        return "binary"

    def feedback_wanted(self) -> Mapping[str, Feedback]:
        return {"rows": "demonstration"}

    def mistakes(self) -> Sequence[tuple[str, str]]:
        return [("fewest", "is too small")] if self.fault == "unknown option" else []

    def label(self, row: Mapping[str, Any], number: int) -> list[dict[str, Any]]:
        text, kept = row["completion"], dict(row)
        for name in ("prompt_id", "source", *(["tools"] if self.fault == "tools" else [])):
            kept.pop(name, None)
        changed: dict[str, dict[str, Any]] = {
            "one id": {"id": "row"},
            "one turn": {"prompt": kept["prompt"][-1:]},
            "ascii": {"completion": text.encode("ascii", "ignore").decode()},
            "blanks": {"completion": text.strip()},
            "machine": {"id": f"{socket.gethostname()}-{number}"},
        }
        made = {**kept, "desirable": len(text) > 12, **changed.get(self.fault, {})}
        if self.fault == "both labels":
            made |= {"id": f"{number}/1"}
            return [made, {**made, "id": f"{number}/2", "desirable": not made["desirable"]}]
        return [made] if self.fault != "none" else []

    def leave(self, folder: Path) -> None:
        if self.fault == "draft":
            (folder / "feedback.tmp").write_text("{}")
        elif self.fault == "thread":
            threading.Thread(target=time.sleep, args=(3,), daemon=True).start()
        elif self.fault in ("variable", "set back"):
            before = os.environ.get("HALO_ODD", "")
            os.environ["HALO_ODD"] = "1"
            if self.fault == "set back":
                os.environ["HALO_ODD"] = before
        elif self.fault == "unreadable":
            (folder / "feedback.jsonl").chmod(0o000)
        elif self.fault == "process":
            STARTED.append(subprocess.Popen(["sleep", "9"]))

    def run(self, context: StageContext) -> StageResult:
        if context.stop.is_set():
            context.stop.raise_interrupted("nothing is kept")
        rows = [each for n, r in enumerate(context.data["rows"]) for each in self.label(r, n)]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        if self.fault == "memory":
            text = KEPT.setdefault("text", text)
        elif self.fault == "neighbours":
            for file in context.folder.parent.glob("*/feedback.jsonl"):
                text += file.read_text("utf-8") if file.parent != context.folder else ""
        elif self.fault == "empty line":
            text = text.replace("\n", "\n\n")
        (context.folder / "feedback.jsonl").write_text(text, "utf-8")
        count = len(rows) * (2 if self.fault in ("count", "whole path") else 1)
        path = "rows.jsonl" if self.fault == "path" else "feedback.jsonl"
        path = str(context.folder / path) if self.fault == "whole path" else path
        id_ = "label" if self.fault == "other stage" else context.id
        context.events.append("feedback", stage=id_, path=path, count=count)
        if self.fault == "end":
            context.events.append("run-ended", status="done", headline="", error=None)
        self.leave(context.folder)
        return StageResult({"n": len(rows)}, "a\nb" if self.fault == "headline" else "labelled")


@pytest.fixture(autouse=True)
def _nothing_is_kept() -> None:
    KEPT.clear()


def test_a_right_stage_keeps_both_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALO_ODD", "0")
    stage = Labels(rows="rows", fault="set back")
    context = given_context(stage, tmp_path)
    check_runs(stage, context)
    check_stage_passed_on(stage, context)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (
            "draft",
            "after run() and tidy(), the draft feedback.tmp is left in its folder",
        ),
        ("thread", "after run() after a stop, its thread Thread-"),
        ("process", "after run() after a stop, a process that it started still runs (sleep 9)"),
        ("count", "run() writes an event 'feedback' with the count 12, and feedback.jsonl has 6"),
        ("whole path", "stage/feedback.jsonl has 6 lines"),
        ("variable", "run() after a stop leaves the environment variable HALO_ODD changed"),
        ("unreadable", "run() makes feedback.jsonl unreadable, so no stage can read it"),
        ("empty line", "feedback.jsonl has an empty line; write one row per line"),
        ("path", "an event 'feedback' with the path 'rows.jsonl', which does not exist in its"),
        ("other stage", "an event 'feedback' of the stage 'label'; expected stage=context.id"),
        ("end", "run() writes an event 'run-ended', which halo itself writes; return the numbers"),
        ("headline", "run() returned the headline 'a\\nb'; expected one line, for the summary"),
    ],
)
def test_a_leftover_or_a_wrong_event_is_found(
    fault: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halo_core.testing.left_running.LINGER_S", 0.05)
    monkeypatch.setenv("HALO_ODD", "1")  # The value that it sets.
    stage = Labels(rows="rows", fault=fault)
    with pytest.raises(AssertionError) as caught:
        check_runs(stage, given_context(stage, tmp_path))
    assert told in str(caught.value)
    while STARTED:
        assert STARTED.pop().wait(5) < 0  # The kit has ended it.


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("one id", "run() gives 1 ids to different rows, such as ['row']; give each row an id of"),
        ("both labels", "completions of one prompt as desirable and as undesirable, and no input"),
        ("one turn", "has the turns ['user'] of a prompt with ['system', 'user'], so its beginn"),
        ("ascii", "which lacks letters of ['Sie heißt Zoë: 牛 🐄, très bien.']; pass texts on"),
        ("blanks", "which has other blanks at its ends than the one that it reads; code and poems"),
        ("memory", "rows of an earlier run in this process, whose prompts are not in its inputs"),
        ("neighbours", "run() writes a row of another stage's folder next to its own; read only"),
    ],
)
def test_a_row_that_is_not_whole_is_found(fault: str, told: str, tmp_path: Path) -> None:
    stage = Labels(rows="rows", fault=fault)
    with pytest.raises(AssertionError) as caught:
        check_stage_passed_on(stage, given_context(stage, tmp_path))
    assert told in str(caught.value)


def test_lost_tools_are_advice(tmp_path: Path) -> None:
    stage = Labels(rows="rows", fault="tools")
    with pytest.warns(KitAdvice, match=r"run\(\) writes rows without 'tools'"):
        check_stage_passed_on(stage, given_context(stage, tmp_path))


def test_a_filter_that_keeps_no_row_of_the_kit_is_not_blamed(tmp_path: Path) -> None:
    stage = Labels(rows="rows", fault="none")
    with pytest.warns(KitAdvice, match=r"keeps none of the kit's rows, so nothing is known"):
        check_runs(stage, given_context(stage, tmp_path))


def test_a_mistake_of_an_option_that_does_not_exist_is_found() -> None:
    with pytest.raises(
        AssertionError, match=r"names the option 'fewest' .*; expected one of rows,"
    ):
        stage_with(Labels, {}, {"fault": "unknown option"})


def test_a_process_that_stands_still_is_not_waited_for() -> None:
    waits = subprocess.Popen(["sleep", "9"])
    assert not ends(waits.pid, idle_s=0.2)
    waits.kill()
    assert ends(waits.pid)


def test_the_comparison_does_not_wait_for_a_process_that_keeps_the_output_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = "import subprocess; subprocess.Popen(['sleep', '9'])"
    monkeypatch.setattr(
        "halo_core.testing.circumstances.elsewhere._PROBE", f"{left}; print('[{{}}]')"
    )
    begun = time.monotonic()
    assert _ask(Labels(rows="rows"), ends, tmp_path, []).told == {}  # type: ignore[arg-type]
    assert time.monotonic() - begun < 8


def test_the_other_process_has_other_letters_and_another_name_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((socket, "gethostname"), (platform, "node")):
        monkeypatch.setattr(module, name, getattr(module, name))  # So that they come back.
    monkeypatch.setenv(MACHINE, "another-machine")
    stage = described(Labels(rows="rows", fault="machine"))
    tell = {"module": "halo_core.testing.circumstances.told", "tell": "stage_told"}
    told = answer(
        {"component": stage, **tell, "folder": str(tmp_path), "clock": "", "ranked": False}
    ).told
    assert '"id": "another-machine-0"' in told["feedback.jsonl"]
    assert "Zoë" in told["feedback.jsonl"]
