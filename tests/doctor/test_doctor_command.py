"""`halo doctor`: facts about this machine, and what a spec lacks on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.cli import call
from halo_core.doctor import machine, spec_needs
from halo_core.doctor.machine import plugin_findings
from halo_core.finding import Finding
from halo_core.plugins import hook_calls
from halo_core.plugins.entry_points import Announcement
from halo_core.plugins.registry import Registry
from halo_trainer.sharding.versions import Part

NEEDY = """
from pydantic import Field

from halo_core import Requirement
from halo_core.judge import Judge


class Needy(Judge):
    '''Needs a package and a key.'''

    fault: str = Field("", description="the fault")

    def needed_here(self):
        if self.fault == "text":
            return "openai"
        package = "json" if self.fault == "unready" else "no_such_package"
        variable = Requirement("variable", "NEEDY_KEY", "set it")
        return [Requirement("package", package, "pip install needy"), variable]

    def check_ready(self):
        from halo_core import UserError

        raise UserError("its server is not in the list")

    def open(self, context):
        raise NotImplementedError
"""


@pytest.fixture
def needy(spec_file: Path, tmp_path: Path) -> Callable[[str], str]:
    """Returns a spec whose judge needs something, with a fault of the judge."""
    (tmp_path / "needy.py").write_text(NEEDY)
    text = spec_file.read_text()
    assert "of: answers, against: target}" in text

    def spec(fault: str = "") -> str:
        judge = f'judge: {{use: "file:{tmp_path / "needy.py"}:Needy", fault: "{fault}"}}'
        stage = f"  judged: {{use: judge, {judge}, of: answers, against: target}}\nreports"
        path = tmp_path / "needy.yaml"
        path.write_text(text.replace("reports", stage, 1))
        return str(path)

    return spec


@pytest.fixture(autouse=True)
def no_plugin_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing torch takes seconds, and one test is enough for it."""
    monkeypatch.setattr(machine, "plugin_findings", list)


def told(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> Any:
    assert call(["doctor", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def missing(answer: Any) -> dict[str, str]:
    return {f["name"]: f["missing"] for f in answer["findings"] if f["missing"]}


def test_the_facts_of_the_machine_are_shown_by_topic(
    made: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = told([], capsys)
    assert {f["topic"] for f in answer["findings"]} >= {"versions", "plugins", "devices", "disk"}
    assert missing(answer) == {}
    assert call(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "halo-trainer" in text
    assert "nothing is missing. What a spec needs: halo doctor SPEC" in text


def test_the_workspace_need_not_exist_and_is_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spec_file: Path
) -> None:
    folder = tmp_path / "none"
    told([str(spec_file), "--workspace", str(folder)], capsys)
    assert not folder.exists()


def test_what_a_spec_needs_is_present_or_missing_and_no_value_is_shown(
    needy: Callable[[str], str],
    made: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("NEEDY_KEY", raising=False)
    answer = told([needy("")], capsys, code=1)
    lacking = [f["missing"] for f in answer["findings"] if f["missing"]]
    assert lacking == [
        "package no_such_package is not installed: pip install needy",
        "NEEDY_KEY is not set: set it",
    ]
    assert answer["missing"] == 2
    assert "found something missing" in answer["error"]["message"]
    monkeypatch.setenv("NEEDY_KEY", "sesame-open")
    assert call(["doctor", needy("")]) == 1
    both = capsys.readouterr()
    assert "NEEDY_KEY is set" in both.out
    assert "1 of" in both.err
    assert "sesame" not in both.out + both.err


def test_a_judge_that_is_not_ready_is_named(
    needy: Callable[[str], str],
    made: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NEEDY_KEY", "sesame-open")
    answer = told([needy("unready")], capsys, code=1)
    assert list(missing(answer).values()) == ["its server is not in the list"]


def test_a_component_that_declares_nonsense_is_the_plugins_mistake(
    needy: Callable[[str], str], made: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    message = told([needy("text")], capsys, code=3)["error"]["message"]
    assert "returned 'openai'; expected a list of halo_core.Requirement" in message


def test_mistakes_of_a_spec_are_reported_after_the_facts(
    spec_file: Path, made: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    spec_file.write_text(spec_file.read_text().replace("beta: 0.1", "beta: x"))
    answer = told([str(spec_file)], capsys, code=2)
    assert len(answer["errors"]) == 1
    assert answer["findings"]


def test_a_disk_without_room_and_data_out_of_reach_are_missing(
    spec_file: Path, made: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(spec_needs, "disk_needed", lambda _: 10**18)
    found = missing(told([str(spec_file)], capsys, code=1))
    assert "the stages need about" in found["disk"]


def test_a_suite_is_looked_at_as_a_whole(
    suite_file: Path, made: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert missing(told([str(suite_file)], capsys)) == {}


def test_a_spec_that_is_not_there_is_named(made: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["doctor", "none.yaml"]) == 2
    assert "none.yaml: no such file" in capsys.readouterr().err


HOOKS = {
    "halo-good": 'return [Finding("devices", "made", "one")]',
    "halo-odd": "return ['text']",
    "halo-bad": "raise RuntimeError('no such device')",
}


@pytest.fixture
def hooked(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three installed distributions with the hook, of which two are wrong."""
    announced = []
    for name, body in HOOKS.items():
        source = (
            "from halo_core import Finding, hookimpl\n\n\n@hookimpl\ndef halo_doctor():\n"
            f"    {body}\n"
        )
        module = site.add(name, source)
        announced.append(Announcement(name, "1.0", (module,), (), str(site.folder)))
    monkeypatch.setattr(hook_calls, "announcements", lambda: announced)
    # Without the packages of `site`, which register no component, whatever was discovered before.
    monkeypatch.setattr(hook_calls, "discover", lambda: Registry(()))


def test_a_hook_is_called_guarded(hooked: None) -> None:
    answers = {answer.distribution: answer for answer in hook_calls.call_hook("halo_doctor")}
    assert answers["halo-good"].answers == [Finding("devices", "made", "one")]
    assert "halo_doctor raised RuntimeError: no such device" in str(answers["halo-bad"].error)


def test_wrong_answers_of_plugins_are_findings(hooked: None) -> None:
    found = {finding.name: finding for finding in plugin_findings()}
    assert found["made"].value == "one"
    assert "halo_doctor gave 'text'; expected a halo_core.Finding" in found["halo-odd"].missing
    assert "it cannot report its facts: " in found["halo-bad"].missing


def test_halo_trainer_and_halo_mlflow_report_versions_and_devices() -> None:
    found = {finding.name: finding for finding in plugin_findings() if not finding.missing}
    assert {"torch", "transformers", "mlflow", "GPU", "kernels", "downloads"} <= found.keys()
    assert found["sharding"].value == "weights can be spread over processes"


def test_halo_trainer_says_which_versions_sharding_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = Part("torch", "99.0", "a part", lambda: False)
    monkeypatch.setattr("halo_trainer.sharding.versions.PARTS", (lacking,))
    (found,) = (finding for finding in plugin_findings() if finding.name == "sharding")
    assert "lacks a part; expected torch>=99.0: run pip install -U 'torch>=99.0'" in found.value
    assert not found.missing  # Most trainings do without it.
