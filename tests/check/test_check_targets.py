"""The targets of `halo check`, its rows, its exit codes and its JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from halo_core import Loss, LossWrapper
from halo_core.check import kind_rules, run_checks
from halo_core.check.component_rules import check_class
from halo_core.check.distribution_rules import check_distribution, without_entry_point
from halo_core.check.findings import Finding, subject_of
from halo_core.check.rule import NotHereError
from halo_core.check.tiny_training import tiny_spec
from halo_core.plugins.discovery import discover, load
from halo_core.plugins.entry_points import Announcement, announcements, metadata_of
from halo_core.plugins.registrar import Registration
from halo_core.testing.losses import loss_wrappers
from halo_core.testing.losses.loss_wrappers import Paired

LOSS = """
from typing import ClassVar
from pydantic import Field
from halo_core import Loss, LossOutput


class Mine(Loss):
    "Makes desirable completions more likely, and others less."

    feedback: ClassVar = "binary"
    needs: ClassVar = ("policy_logps", "reference_logps")
    beta: float = Field(default=0.1, gt=0, description="Reward per nat.")

    def __call__(self, batch):
        NOISE
        gains = SIGN * self.beta * batch.logratios
        return LossOutput((-gains).where(batch.desirable, gains).sigmoid())
"""


@pytest.fixture(autouse=True)
def _without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halo_core.testing.component.check_import_budget", lambda _: None)
    monkeypatch.setattr(kind_rules, "check_training", lambda *_: None)


def write(folder: Path, sign: str) -> None:
    noise = "pass" if sign == "1" else "print('noise in the middle of JSON')"
    text = LOSS.replace("SIGN", sign).replace("NOISE", noise)
    (folder / "mine.py").write_text(text, "utf-8")


def test_a_class_in_a_file_passes(tmp_path: Path, halo_in: Any) -> None:
    write(tmp_path, "1")
    done = halo_in(tmp_path, "check", "file:./mine.py:Mine", "--json")
    assert done.code == 0
    assert {each["state"] for each in done.json["findings"]} == {"pass"}
    assert done.json["counts"]["pass"] >= 18


def test_a_broken_class_has_its_rule_its_reason_and_its_line(tmp_path: Path, halo_in: Any) -> None:
    write(tmp_path, "-1")
    done = halo_in(tmp_path, "check", "file:./mine.py:Mine")
    assert done.code == 3
    assert "fail direction: " in done.out
    assert "Is a sign wrong?" in done.out
    method, print_ = (f"at {tmp_path / 'mine.py'}:{line}" for line in (14, 15))
    assert f"{method}\n" in done.out
    assert "fail prints: it prints 'noise in the middle of JSON'" in done.out
    assert print_ in done.out
    assert "2 failed" in done.out
    assert "2 of " in done.err


@pytest.mark.slow(seconds=3)
def test_json_has_the_findings_of_a_failure_too(tmp_path: Path, halo_in: Any) -> None:
    write(tmp_path, "-1")
    done = halo_in(tmp_path, "check", "file:./mine.py:Mine", "--json")
    assert done.code == 3
    failures = [each for each in done.json["findings"] if each["state"] == "fail"]
    assert [each["rule"] for each in failures] == ["direction", "prints"]
    assert "noise" not in done.err


@pytest.mark.slow(seconds=3)
def test_all_rules_are_listed_if_asked_for(tmp_path: Path, halo_in: Any) -> None:
    write(tmp_path, "1")
    said = halo_in(tmp_path, "check", "file:./mine.py:Mine", "--all-rules").out
    for name in ("gradient", "untouched", "dtype-and-device", "training"):
        assert f"pass {name}" in said


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["no-such-thing"], 2, "no distribution and no component named 'no-such-thing'"),
        (["ktoo"], 2, "Did you mean 'kto'?"),
        (["methods"], 2, "Did you mean 'halo-methods'?"),  # It is the namespace.
        (["halo-core"], 2, "halo-core is the core, which has no plugin"),
        (["file:./none.py:Mine"], 2, "no such file"),
        (["file:./mine.py:Other"], 3, "mine.py has no 'Other'"),
        (["file:./mine.py:ClassVar"], 3, "expected a class that subclasses Loss"),
        (["file:./mine.py:Mine", "--set", "beta"], 2, "expected OPTION=VALUE"),
        (["file:./mine.py:Mine", "--set", "beta=[", "--json"], 2, "is not YAML"),
    ],
)
def test_what_cannot_be_checked_is_named(
    arguments: list[str], code: int, said: str, tmp_path: Path, halo_in: Any
) -> None:
    write(tmp_path, "1")
    done = halo_in(tmp_path, "check", *arguments)
    assert done.code == code
    assert said in done.err + done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["file:./mine.py:Mine", "--set", "beta=-1"],
            "--set: beta: got -1.0; expected a number above 0",
        ),
        (["file:./mine.py:Mine", "--set", "bet=1"], "'bet'. Did you mean 'beta'? Known: beta"),
        (["humanline", "--set", "loose=1"], "--set: unknown option 'loose'"),
        (["--set", "beta=1"], "options are those of one component"),
        (["halo-methods", "--set", "beta=1"], "halo check NAME --set beta=1"),
        (["compare", "--set", "beta=1"], "options are those of one component"),
    ],
)
def test_options_that_cannot_be_used_are_mistakes(
    arguments: list[str], said: str, tmp_path: Path, halo_in: Any
) -> None:
    write(tmp_path, "1")
    done = halo_in(tmp_path, "check", *arguments)
    assert done.code == 2
    assert said in done.err


def test_a_component_is_found_by_its_name(tmp_path: Path, halo_in: Any) -> None:
    done = halo_in(tmp_path, "check", "zero", "--json")
    assert {each["subject"] for each in done.json["findings"]} == {"reference point zero"}


def test_a_distribution_is_checked_with_all_its_components(
    tmp_path: Path, halo_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def named(registration: Registration, *_: object, **__: object) -> Iterator[Finding]:
        yield Finding(subject_of(registration), "found", "pass")

    # All rules of these components take 20 s. `registry/check_entries.py` checks them.
    monkeypatch.setattr(run_checks, "check_class", named)
    done = halo_in(tmp_path, "check", "halo-report", "--json")
    subjects = {each["subject"] for each in done.json["findings"] if each["rule"] == "found"}
    assert subjects == {
        "report html",
        *(f"command {name}" for name in ("compare", "inspect", "report")),
    }
    rules = {each["rule"] for each in done.json["findings"] if each["subject"] == "halo-report"}
    assert {"loads", "plugin-imports", "requirement"} <= rules


def test_a_loss_that_holds_another_component_is_not_trained() -> None:
    class Around(Paired):
        inner: Loss = Field(default=Paired(), description="Another loss.")

    registration = Registration("loss", "around", "m:Around", "halo-acme", "1", "acme.py")
    with pytest.raises(NotHereError, match="'inner' holds another component"):
        tiny_spec(Around(), registration)


def test_a_wrapper_leaves_out_a_rule_of_losses_with_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stops(LossWrapper):
        """A wrapper with a gradient that is not the derivative."""

        def unchecked_rules(self) -> dict[str, str]:
            return {"gradient": "a part is constant"}

    monkeypatch.setattr(loss_wrappers, "check_loss_wrapper", lambda _: None)
    registration = Registration("loss", "stops", "m:Stops", "halo-acme", "1", "acme.py")
    found = {each.rule: each for each in check_class(registration, Stops, {})}
    assert "unchecked-rules" not in found
    assert (found["gradient"].state, found["gradient"].reason) == (
        "skip",
        "by its author: a part is constant",
    )


def test_required_options_get_a_small_value(tmp_path: Path, halo_in: Any) -> None:
    done = halo_in(tmp_path, "check", "ema", "--json")
    assert {each["state"] for each in done.json["findings"]} == {"pass"}


def test_a_distribution_without_an_entry_point_is_found() -> None:
    announced = {each.distribution for each in announcements()}
    assert "pytest" not in announced
    assert metadata_of("pytest") is not None
    finding = without_entry_point("pytest")
    assert finding is not None
    assert finding.state == "fail"
    assert "no entry point in the group 'halo'" in finding.reason
    assert without_entry_point("no-such-distribution") is None


@pytest.mark.parametrize("group", ["halo.plugins", "Halo", "hola"])
def test_a_misspelt_group_is_to_be_renamed(group: str, site: Any, registers: Any) -> None:
    site.add("halo-acme", registers("loss('soft', 'acme:Soft')"))
    file = site.folder / "halo_acme-1.0.dist-info" / "entry_points.txt"
    file.write_text(file.read_text().replace("[halo]", f"[{group}]"))
    finding = without_entry_point("halo-acme")
    assert finding is not None
    assert f"its groups are {group}: rename the group in pyproject.toml to " in finding.reason


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        (
            "import acme_no",
            "ModuleNotFoundError: No module named 'acme_no'. The package acme_no is missing: pip "
            "install acme_no, and as an author add it to the dependencies of halo-acme",
        ),
        (
            "import halo_acme_plugin.no",
            "ModuleNotFoundError: No module named 'halo_acme_plugin.no'; 'halo_acme_plugin' is not "
            "a package. Its own module halo_acme_plugin.no is missing: check the name in the "
            "import and in the entry point",
        ),
    ],
)
def test_an_author_is_not_told_to_reinstall_or_to_report(
    source: str, reason: str, site: Any
) -> None:
    module = site.add("halo-acme", source + "\n")
    plugin = next(each for each in announcements() if each.distribution == "halo-acme")
    (finding,) = check_distribution(plugin, load([plugin]))
    assert (finding.rule, finding.state, finding.reason) == ("loads", "fail", reason)
    assert finding.place == f"{site.folder / module}.py:1"


@pytest.mark.parametrize(
    ("requirement", "state"),
    [
        ("halo-core>=0.1,<0.3", "pass"),
        ("Halo_Core ~= 0.1", "pass"),
        ("halo-core==0.1.0", "pass"),
        ("halo-core @ file:///src", "pass"),
        ("halo-core>=0.1", "warn"),
        ("halo-core!=0.1", "warn"),
        ("halo-core; python_version < '3.13'", "warn"),
        ("halo-core[all]>=0.1", "warn"),
        ("halo-core-extras==1", "warn"),
    ],
)
def test_a_requirement_of_the_core_without_an_upper_limit_is_a_warning(
    requirement: str, state: str
) -> None:
    plugin = Announcement("halo-exo", "1", (), ("torch<3", requirement), "")
    *_, finding = check_distribution(plugin, discover())
    assert (finding.rule, finding.state) == ("requirement", state)


@pytest.mark.slow(seconds=6)
def test_a_loss_is_also_trained(tmp_path: Path, warm: Any) -> None:
    """The training of a right loss passes in `test_built_packages.py`."""
    # Only a real training has micro-batches on which the loss was not called before.
    guard = "if not batch.policy_token_logps.requires_grad or batch.lengths.max() > 4:\n"
    guard += '            raise ValueError("too long")\n        gains = SIGN'
    text = LOSS.replace("gains = SIGN", guard).replace("SIGN", "1").replace("NOISE", "pass")
    (tmp_path / "mine.py").write_text(text, "utf-8")
    # The check is a fork of a process that has imported torch. Its training is none.
    command = [sys.executable, "-m", "halo_core.cli", "check", "file:./mine.py:Mine", "--json"]
    done = warm.run(command, cwd=tmp_path, timeout=280)
    assert done.returncode == 3, done.stdout + done.stderr
    findings: list[Any] = json.loads(done.stdout)["findings"]
    assert "imports" in {each["rule"] for each in findings}
    failures = [each for each in findings if each["state"] == "fail"]
    assert "training" in {each["rule"] for each in failures}
    assert "too long" in failures[-1]["reason"]
