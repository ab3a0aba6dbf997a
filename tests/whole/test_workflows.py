"""The workflows for a code host: what they call exists, and they may do little.

Nothing here can run them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WORKFLOWS = {file.stem: yaml.safe_load(file.read_text()) for file in FILES}
JOBS = {
    f"{name}.{job}": content
    for name, workflow in WORKFLOWS.items()
    for job, content in workflow["jobs"].items()
}
COMMANDS = [
    (job, line.strip())
    for job, content in JOBS.items()
    for step in content["steps"]
    for line in step.get("run", "").splitlines()
]
TARGET = re.compile(r"^([\w$()./-]+):", re.MULTILINE)


def test_all_of_a_change_a_release_and_the_catalogue_have_a_workflow() -> None:
    assert {*WORKFLOWS} == {"tests", "release", "catalogue"}
    assert ("tests.whole", ".ci/run") in COMMANDS
    assert ("tests.core", ".ci/core") in COMMANDS
    matrix = JOBS["tests.core"]["strategy"]["matrix"]
    assert [system.partition("-")[0] for system in matrix["os"]] == ["ubuntu", "macos"]
    assert matrix["python"] == ["3.12", "3.13", "3.14"]
    release = next(step for step in JOBS["release.check"]["steps"] if "env" in step)
    assert release["run"] == 'make release-check TAG="$GITHUB_REF_NAME"'
    assert release["env"] == {"FULL": "1"}


@pytest.mark.parametrize(("job", "command"), COMMANDS)
def test_each_command_of_a_workflow_exists(job: str, command: str) -> None:
    program, *arguments = command.split()
    if program == "make":
        targets = {t.replace("$(VENV)", ".venv") for t in TARGET.findall(read("Makefile"))}
        assert arguments[0] in targets
    elif program == ".venv/bin/python":
        assert (ROOT / arguments[0]).is_file()
    elif program != "git":
        assert os.access(ROOT / program, os.X_OK)


@pytest.mark.parametrize("job", sorted(JOBS))
def test_each_job_ends_by_itself_and_its_actions_have_a_version(job: str) -> None:
    assert 1 <= JOBS[job]["timeout-minutes"] <= 120
    for step in JOBS[job]["steps"]:
        assert "uses" not in step or re.fullmatch(r"[\w/-]+@(v\d+|release/v1)", step["uses"]), step


def test_only_the_job_that_publishes_may_do_more_than_read_and_it_runs_nothing_of_ours() -> None:
    for workflow in WORKFLOWS.values():
        assert workflow["permissions"] == {"contents": "read"}
    assert [job for job, content in JOBS.items() if "permissions" in content] == ["release.publish"]
    publish = JOBS["release.publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["needs"] == "check"
    used = [step["uses"].partition("@")[0] for step in publish["steps"]]
    assert used == ["actions/download-artifact", "pypa/gh-action-pypi-publish"]
    assert publish["steps"][-1]["with"]["attestations"] is True


def test_what_is_published_is_what_was_checked() -> None:
    uploaded = JOBS["release.check"]["steps"][-1]["with"]
    downloaded = JOBS["release.publish"]["steps"][0]["with"]
    assert uploaded["name"] == downloaded["name"]
    assert uploaded["if-no-files-found"] == "error"
    script = read(".ci/release-check")
    assert "folder=$PWD/build/release\n" in script
    assert '--outdir "$folder/dist"' in script
    assert uploaded["path"] == "build/release/dist/"
    assert downloaded["path"] == "dist/"  # The action publishes this folder.


def read(file: str) -> str:
    return (ROOT / file).read_text()
