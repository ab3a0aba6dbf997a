"""The check reports a component that ends its process, and what Ctrl-C left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from halo_core.check import isolated as isolated_module, run_checks
from halo_core.check.findings import Finding
from halo_core.check.isolated import isolated
from halo_core.check.rule import Rule, run_rule
from halo_core.errors import UserError
from halo_core.stop_flag import BySignal


def passes(_: object) -> None:
    pass


def of(rules: list[Rule]) -> list[Finding]:
    def work() -> Iterator[Finding]:
        for rule in rules:
            yield run_rule("loss mine", rule, None)

    return list(isolated("loss mine", work, "mine.py"))


def ends(_: object) -> None:
    os._exit(0)


def is_killed(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def gets_a_real_time_signal(_: object) -> None:
    os.kill(os.getpid(), 40)


@pytest.mark.parametrize(
    ("check", "how"),
    [
        (ends, "exit code 0"),
        (is_killed, "SIGKILL, signal 9"),
        pytest.param(
            gets_a_real_time_signal,
            "signal 40",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="needs real-time signals"),
        ),
    ],
)
def test_a_rule_that_ends_the_process_is_broken_and_the_others_are_checked(
    check: Any, how: str
) -> None:
    found = of([Rule("a", passes), Rule("b", check), Rule("c", passes)])
    assert [(each.rule, each.state) for each in found] == [
        ("a", "pass"),
        ("b", "fail"),
        ("c", "pass"),
    ]
    assert found[1].reason == (
        f"its process ended with {how} while the rule was checked; expected it to continue"
    )
    assert found[1].place == "mine.py"


def test_a_component_that_ends_every_process_is_not_checked_without_end() -> None:
    found = of([Rule(name, ends) for name in "abcdef"])
    assert [each.state for each in found] == ["fail", "fail", "fail", "skip"]
    assert found[-1].rule == "the-rest"
    assert "the rules after them were not checked" in found[-1].reason


def test_a_call_that_never_returns_to_python_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated_module, "GRACE", 0.05)

    def hangs(_: object) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(60)

    found = of([Rule("a", hangs, 0.05), Rule("b", passes)])
    assert [(each.rule, each.state) for each in found] == [("a", "fail"), ("b", "pass")]
    assert "it takes too long, in a call that cannot be stopped" in found[0].reason


def test_an_error_between_rules_is_a_row_and_a_mistake_of_the_user_is_raised() -> None:
    def raises() -> Iterator[Finding]:
        yield run_rule("loss mine", Rule("a", passes), None)
        raise SystemExit(0)

    found = list(isolated("loss mine", raises, "mine.py"))
    assert [(each.rule, each.state) for each in found] == [("a", "pass"), ("end", "fail")]

    def mistaken() -> Iterator[Finding]:
        raise UserError("unknown option", location="--set")
        yield

    with pytest.raises(UserError, match="--set: unknown option"):
        list(isolated("loss mine", mistaken, "mine.py"))


def test_a_check_uses_no_gpu_and_downloads_nothing() -> None:
    def looks(_: object) -> None:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
        assert os.environ["HF_HUB_OFFLINE"] == "1"

    assert [each.state for each in of([Rule("a", looks)])] == ["pass"]


def test_ctrl_c_tells_what_was_found_and_what_was_not_checked(
    halo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(subject: str, *_: Any) -> Iterator[Finding]:
        yield Finding(subject, "kind", "pass")
        if subject == "reference point zero":
            raise BySignal

    monkeypatch.setattr(run_checks, "isolated", interrupted)
    done = halo("check", "halo-methods", "--json")
    assert done.code == 130
    assert done.json["counts"]["pass"] == len(done.json["findings"]) > 10
    assert done.json["unchecked"][0] == "reference point zero"
    assert done.json["error"]["type"] == "Interrupted"
    done = halo("check", "halo-methods")
    assert done.code == 130
    assert "are not checked, or not by all rules: reference point zero" in done.err
    assert " passed" in done.out


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [("INT", 130), ("TERM", 143), ("KILL", -9)])
def test_a_component_that_hangs_ends_with_the_check_and_leaves_nothing(
    number: str, code: int, tmp_path: Path
) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "mine.py").write_text(
        "import os, subprocess, time\n"
        "from pathlib import Path\n"
        "from halo_core import Report\n\n"
        "class Mine(Report):\n"
        '    "Hangs."\n\n'
        "    def write(self, run):\n"
        "        other = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        f"        part = Path({str(tmp_path / 'part')!r})\n"
        "        part.write_text(f'{os.getpid()} {other.pid}')\n"
        f"        part.rename({str(tmp_path / 'pids')!r})\n"
        "        time.sleep(600)\n",
        "utf-8",
    )
    command = [sys.executable, "-m", "halo_core.cli", "check", "file:./mine.py:Mine", "--json"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
    )
    for _ in range(600):
        if (tmp_path / "pids").exists():
            break
        time.sleep(0.1)
    processes = [int(word) for word in (tmp_path / "pids").read_text().split()]
    process.send_signal(signal.Signals[f"SIG{number}"])
    said, _ = process.communicate(timeout=60)
    assert process.returncode == code
    if number != "KILL":
        assert json.loads(said)["unchecked"] == [f"report file:{tmp_path / 'mine.py'}:Mine"]
    end = time.monotonic() + 30
    while any(map(runs, processes)) or [*(tmp_path / "tmp").iterdir()]:
        assert time.monotonic() < end, [*map(runs, processes), *(tmp_path / "tmp").rglob("*")]
        time.sleep(0.05)


def runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
