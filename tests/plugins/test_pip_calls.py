"""Calls of pip: its end after a Ctrl-C, its failures in one sentence, and its sources."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from halo_core.plugins import pip_calls, pip_log
from halo_core.stop_flag import BySignal

PIP = """\
import pathlib, sys, time
here = pathlib.Path(__file__).parent
try:
    print(here.joinpath("words").read_text(), flush=True)
    while not here.joinpath("go-on").exists():
        time.sleep(0.01)
    print("Successfully installed exo-words-2.0")
except KeyboardInterrupt:
    time.sleep(0.3)
    here.joinpath("tidied").touch()
"""
"""A pip that does something until a file is there, and takes a moment to tidy up after a Ctrl-C."""


@pytest.fixture
def made_pip(tmp_path: Path) -> Callable[..., tuple[list[str], Path]]:
    """Returns a function that calls the made pip and stops it at some lines, as Ctrl-C does."""

    def call(words: str, stops: int, then: Callable[[], object]) -> tuple[list[str], Path]:
        (tmp_path / "pip.py").write_text(PIP)
        (tmp_path / "words").write_text(words)
        said: list[str] = []

        def say(line: str) -> None:
            said.append(line)
            if len(said) <= stops:
                raise BySignal
            then()

        with pytest.raises(BySignal):
            pip_calls.stream_pip([], say, environment={**os.environ, "PYTHONPATH": str(tmp_path)})
        return said, tmp_path

    return call


def test_a_stopped_pip_that_downloads_ends_and_tidies_up(
    made_pip: Callable[..., tuple[list[str], Path]],
) -> None:
    said, folder = made_pip("Downloading exo-words", 1, lambda: None)
    assert said == ["Downloading exo-words"]
    assert (folder / "tidied").exists()


def test_a_stopped_pip_that_replaces_packages_finishes_first(
    made_pip: Callable[..., tuple[list[str], Path]], tmp_path: Path
) -> None:
    """After a Ctrl-C, pip would leave the package half installed."""
    words = "Installing collected packages: exo-words"
    said, folder = made_pip(words, 1, (tmp_path / "go-on").touch)
    assert said == [words, pip_calls._WAITING, "Successfully installed exo-words-2.0"]
    assert not (folder / "tidied").exists()


def test_a_second_signal_ends_a_pip_that_replaces_packages(
    made_pip: Callable[..., tuple[list[str], Path]],
) -> None:
    said, folder = made_pip("Installing collected packages: exo-words", 2, lambda: None)
    assert said[1:] == [pip_calls._WAITING]
    assert (folder / "tidied").exists()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("ERROR: Ignored\nERROR: ResolutionImpossible: a and b conflict", "a and b conflict"),
        ("error: externally-managed-environment\n\nhint", "the system manages the packages"),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: "
            "'/lib/x.py'\nCheck the permissions.\n",
            f"the environment of {sys.executable}: Permission denied: '/lib/x.py'. Make the place",
        ),
        ("Traceback\nKeyError: 'x'", "pip could not install halo-exo: KeyError: 'x'"),
        ("", "pip could not install halo-exo: it printed nothing"),
    ],
)
def test_failures_of_pip_are_one_sentence(said: str, message: str) -> None:
    done = pip_calls.PipResult(1, "", said)
    told = pip_calls.failure(done, "halo-exo", "https://example.org")
    assert message in told
    assert "\n" not in told


def test_sources_show_no_credentials_and_one_index_excludes_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {
        "index-url": "https://ann:sesame@example.org/simple",
        "extra-index-url": "https://more.example.org/simple",
        "cert": "/etc/ca.crt",
    }
    shown = pip_calls.sources("", settings)
    assert shown == "https://***@example.org/simple, https://more.example.org/simple"
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://more.example.org/simple")
    inside = pip_calls.index_environment("https://own.example.org", settings)
    assert inside is not None
    assert {k: v for k, v in inside.items() if k.startswith("PIP_")} == {
        "PIP_CERT": "/etc/ca.crt",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "https://own.example.org",
    }
    assert pip_calls.index_environment("", settings) is None


def test_statuses_in_a_log_of_pip_are_found_once_each_and_absence_is_none(tmp_path: Path) -> None:
    page = "http://ann:****@h/simple/halo-exo/"
    log = tmp_path / "pip.log"
    log.write_text(
        f"time Could not fetch URL {page}: 404 Client Error: Not Found for url: x - skipping\n"
        f"time Could not fetch URL {page}: 403 Client Error: Forbidden for url: x - skipping\n"
        f"time Could not fetch URL {page}: 403 Client Error: Forbidden for url: x - skipping\n"
        f"time Could not fetch URL {page}: Max retries exceeded with url: /simple/halo-exo/ (Caused"
        " by ResponseError('too many 520 error responses')) - skipping\n"
    )
    found = pip_log.refusals_in(log)
    assert found == (
        "403 Forbidden from http://***@h/simple/halo-exo/",
        "520 from http://***@h/simple/halo-exo/",
    )
    said = "ERROR: Could not find a version that satisfies halo-exo (from versions: none)"
    told = pip_calls.failure(pip_calls.PipResult(1, "", said, found), "halo-exo", "http://h")
    assert told.startswith(f"an index did not say whether it has halo-exo: {'; '.join(found)}. ")
    assert pip_log.refusals_in(tmp_path / "absent.log") == ()
