"""A third party's tracker, installed with pip, is shown in the same places as MLflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Halo = Callable[..., Any]

NOTICEBOARD = Path(__file__).with_name("noticeboard")
TESTS = Path(__file__).parents[1]
TRACKING = "tracking: [{use: noticeboard/board, address: 'http://board'}]\n"
JUDGED = '''
from made_components import Compare
from halo_core import StageResult
from halo_core.workspace.records import VERDICTS


class Judged(Compare):
    """Lets every completion win."""

    def run(self, context):
        line = {"prompt_id": "p", "prompt": [{"role": "user", "content": "Hello?"}],
                "completion": "Hi", "baseline": "Ho", "result": "win", "flip": False, "orders": [],
                "tokens": 1, "baseline_tokens": 1}
        VERDICTS.write(context.folder / VERDICTS.name, [line])
        return StageResult({"win": 1.0}, "won")
'''


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Returns the environment in which halo-noticeboard is installed, in a folder of its own."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(NOTICEBOARD)], check=True, timeout=280)
    path = [str(target), str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(path)}


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.mark.slow
def test_a_run_ends_with_the_tracker_s_page_and_keeps_it(
    halo: Halo, installed: dict[str, str], spec_file: Path
) -> None:
    spec_file.write_text(spec_file.read_text() + TRACKING)
    done = halo("run", str(spec_file), env=installed)
    assert done.code == 0, done.err
    (folder,) = (spec_file.parent / "workspace" / "runs").glob("small-*")
    assert f"Board http://board/{folder.name}" in lines(done.out)
    assert "all notes: http://board" in lines(done.out)
    told = {
        "noticeboard/board": {
            "label": "Board",
            "url": f"http://board/{folder.name}",
            "links": {"all notes": "http://board"},
            "note": str(folder.parents[1] / "board" / f"{folder.name}.json"),
        }
    }
    record = json.loads((folder / "run.json").read_text())
    assert record["trackers"] == told
    assert record["versions"]["pydantic"]
    assert "mlflow" not in record["versions"]
    assert halo("run", str(spec_file), "--json", env=installed).json["trackers"] == told
    del record["crc"]  # The record is changed by hand.
    (folder / "run.json").write_text(json.dumps({**record, "trackers": {}}))
    sent = halo("sync", "small", "--json", env=installed).json
    assert sent["sent"][0]["status"] == "sent"
    assert sent["trackers"] == told
    assert json.loads((folder / "run.json").read_text())["trackers"] == told
    assert f"Board http://board/{folder.name}" in lines(halo("sync", "small", env=installed).out)


def test_a_password_in_a_stranger_s_address_is_a_mistake_that_is_not_recorded(
    halo: Halo, installed: dict[str, str], spec_file: Path
) -> None:
    address = "http://ann:sesame@board"
    spec_file.write_text(spec_file.read_text() + TRACKING.replace("http://board", address))
    done = halo("run", str(spec_file), env=installed)
    assert done.code == 2
    assert "tracking.0.address: the address holds a password or a token" in done.err
    assert "sesame" not in done.out + done.err
    assert not (spec_file.parent / "workspace").exists()


@pytest.mark.slow
def test_a_suite_ends_with_its_page_and_its_cells_are_compared_there(
    halo: Halo, installed: dict[str, str], suite_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "judged.py").write_text(JUDGED)
    made = str(TESTS / "made_components.py")
    text = suite_file.read_text().replace(f"{made}:Compare", f"{tmp_path / 'judged.py'}:Judged")
    suite_file.write_text(text.replace("reports: []\n", f"reports: []\n{TRACKING}"))
    cells = ("--cell", "small/none", "--cell", "small/weak")
    done = halo("run", str(suite_file), *cells, env=installed)
    assert done.code == 0, done.err
    (record,) = (tmp_path / "workspace" / "suites").glob("*/suite.json")
    suite = record.parent.name
    told = {"noticeboard/board": {"label": "Board", "url": f"http://board/{suite}"}}
    assert f"Board http://board/{suite}" in lines(done.out)
    assert json.loads(record.read_text())["trackers"] == told
    again = halo("run", str(suite_file), *cells, "--json", env=installed)
    assert again.json["trackers"] == told
    assert again.err.count("everything is in the store, and reported") == 2
    runs = [cell["run"] for cell in again.json["cells"]]
    url = f"http://board/{'+'.join(runs)}"
    found = halo("compare", *runs, env=installed)
    assert found.code == 0, found.err
    assert f"Board {url}" in lines(found.out)
    said = halo("compare", *runs, "--json", env=installed).json["trackers"]
    assert said == {"noticeboard/board": {"label": "Board", "url": url, "absent": []}}


@pytest.mark.slow
def test_the_noticeboard_s_own_test_passes(installed: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    done = subprocess.run(
        [*command, str(NOTICEBOARD / "tests")],
        env={**os.environ, **installed},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
