"""`halo plugins install`, with pip and a package index of made wheels on this machine."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from halo_core.cli import plugins_install
from halo_core.errors import InstallError, PluginError
from halo_core.plugins import package_index, pip_calls, pip_log
from halo_core.plugins.registrar import Registration
from halo_core.plugins.registry import Registry
from halo_core.stop_flag import BySignal

Halo = Callable[..., Any]
ENTRY = {
    "distribution": "halo-exo",
    "version": "1.0",
    "versions": ">=1,<2",
    "summary": "A fair coin as a judge",
    "license": "MIT",
    "homepage": "",
    "index": "",
    "checked": None,
    "components": [{"kind": "judge", "name": "exo/fair", "summary": "Flips a coin."}],
}


def _loopback() -> ModuleType:
    file = Path(__file__).with_name("loopback_index.py")
    spec = importlib.util.spec_from_file_location("loopback_index", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


loopback = _loopback()
FILE = loopback.wheel_name("halo-exo", "1.0")
WHEEL = loopback.wheel("halo-exo", "1.0")


@pytest.fixture
def catalogue(tmp_path: Path) -> Callable[..., str]:
    """Writes an index with one entry, and returns its file."""

    def write(**changes: Any) -> str:
        file = tmp_path / "index.json"
        index = {"schema": 1, "date": "2026-01-02", "distributions": [{**ENTRY, **changes}]}
        file.write_text(json.dumps(index))
        return str(file)

    return write


@pytest.fixture
def pip_env(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Returns variables with which pip knows one index only, and installs into a folder."""

    def env(address: str) -> dict[str, str]:
        target = tmp_path / "target"
        target.mkdir(exist_ok=True)
        return {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_FIND_LINKS": "",
            "PIP_INDEX_URL": f"{address}/simple",
            "PIP_TARGET": str(target),
            "PYTHONPATH": os.pathsep.join(
                [str(target), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
        }

    return env


@pytest.mark.slow(seconds=2)
def test_an_entry_is_shown_and_installed(
    halo: Halo, catalogue: Callable[..., str], pip_env: Callable[[str], dict[str, str]]
) -> None:
    needs = (
        "Requires-Dist: exo-words>=1; python_version > '3'\n"
        "Requires-Dist: exo-more; extra == 'more'\n"
    )
    needy = loopback.wheel("halo-exo", "1.0", more=needs)
    more = {
        loopback.wheel_name("halo-exo", "2.0"): loopback.wheel("halo-exo", "2.0"),
        loopback.wheel_name("exo-words", "1.2"): loopback.wheel(
            "exo-words", "1.2", "WORDS = 1\n", requires=""
        ),
    }
    with loopback.serving({FILE: needy, **more}) as address:
        env = {**pip_env(address), "HALO_CATALOGUE": catalogue()}
        unasked = halo("plugins", "install", "exo/fair", env=env)
        assert unasked.code == 2
        assert "there is no terminal to ask in; to install it without a question, add --yes" in (
            unasked.err
        )
        assert not list(Path(env["PIP_TARGET"]).iterdir())
        done = halo("plugins", "install", "exo/fair", "--yes", env=env)
        assert done.code == 0, done.err
        again = halo("plugins", "install", "halo-exo", "--yes", env=env)
    assert "distribution  halo-exo\nversion       1.0 (the entry allows >=1,<2)\n" in done.out
    assert "author        Ann Exo\n" in done.out
    assert f"index         {address}/simple\n" in done.out
    assert f"sha256        {hashlib.sha256(needy).hexdigest()}\n" in done.out
    assert (Path(env["PIP_TARGET"]) / "exo_words_plugin.py").is_file()
    assert "catalogue     2026-01-02, " in done.out
    assert done.out.endswith("Installed halo-exo 1.0. It provides judge exo/fair\n")
    assert again.out.startswith("halo-exo is installed already")


@pytest.mark.slow(seconds=2)
def test_a_file_with_another_hash_is_not_installed(
    halo: Halo, catalogue: Callable[..., str], pip_env: Callable[[str], dict[str, str]]
) -> None:
    with loopback.serving({FILE: WHEEL}, {FILE: "0" * 64}) as address:
        env = {**pip_env(address), "HALO_CATALOGUE": catalogue()}
        done = halo("plugins", "install", "halo-exo", "--yes", env=env)
    assert done.code == 1
    assert "has another hash than its index says" in done.err
    checked = {"version": "1.0", "core": "0.1.0", "date": "2026-01-01", "broken": 0}
    entry = catalogue(checked={**checked, "files": {FILE: "1" * 64}})
    with loopback.serving({FILE: WHEEL}) as address:
        env = {**pip_env(address), "HALO_CATALOGUE": entry}
        done = halo("plugins", "install", "halo-exo", "--yes", env=env)
    assert done.code == 1
    assert f"the index has another {FILE} than the one that was checked" in done.err
    assert not list(Path(env["PIP_TARGET"]).iterdir())


@pytest.mark.slow(seconds=2)
def test_what_no_index_has_and_an_index_that_is_not_reached_are_told_apart(
    halo: Halo, catalogue: Callable[..., str], pip_env: Callable[[str], dict[str, str]]
) -> None:
    with loopback.serving({}) as address:
        env = {**pip_env(address), "HALO_CATALOGUE": catalogue()}
        absent = halo("plugins", "install", "halo-exo", "--yes", env=env)
    assert absent.code == 1
    assert absent.err == (
        f"no index has a wheel of halo-exo>=1,<2 for this Python and machine ({address}/simple)\n"
    )
    # The server has ended, so its port refuses.
    unreached = halo("plugins", "install", "halo-exo", "--yes", env=env)
    assert unreached.code == 1
    assert "an index could not be reached, so halo-exo>=1,<2 was not found" in unreached.err
    with loopback.serving({loopback.wheel_name("halo-exo", "2.0"): WHEEL}) as address:
        env = {**pip_env(address), "HALO_CATALOGUE": catalogue()}
        other = halo("plugins", "install", "halo-exo", "--yes", env=env)
    assert "no version fits halo-exo>=1,<2; the index has 2.0" in other.err


@pytest.mark.slow(seconds=2)
@pytest.mark.parametrize(
    ("status", "words", "advice"),
    [(401, "401 Unauthorized", "Check the user"), (503, "503 Service Unavailable", "Try again")],
)
def test_an_index_that_refuses_is_told_with_its_status_and_without_its_password(
    status: int, words: str, advice: str
) -> None:
    with loopback.serving({}, status=status) as address:
        index = f"{address}/simple".replace("://", "://ann:sesame@")
        with pytest.raises(InstallError) as caught:
            package_index.look_up("halo-exo>=1", index)
    shown = f"{address}/simple/halo-exo/".replace("://", "://***@")
    assert caught.value.message.startswith(
        f"an index did not say whether it has halo-exo>=1: {words} from {shown}. {advice}"
    )
    assert "sesame" not in caught.value.message


@pytest.mark.slow(seconds=2)
def test_a_requirement_that_cannot_be_read_is_one_sentence() -> None:
    wrong = loopback.wheel("halo-exo", "1.0", more="Requires-Dist: exo words >= one\n")
    with loopback.serving({FILE: wrong}) as address, pytest.raises(InstallError) as caught:
        package_index.look_up("halo-exo", f"{address}/simple")
    assert caught.value.message.startswith("halo-exo 1.0 has metadata that are not valid (Expected")
    assert "exo words >= one), so no version fits halo-exo (" in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.slow(seconds=2)
def test_an_index_of_an_entry_is_the_only_source(
    halo: Halo, catalogue: Callable[..., str], pip_env: Callable[[str], dict[str, str]]
) -> None:
    """A higher version of the same name on pip's own index does not count."""
    higher = loopback.wheel_name("halo-exo", "1.9")
    with (
        loopback.serving({FILE: WHEEL}) as own,
        loopback.serving({higher: loopback.wheel("halo-exo", "1.9")}) as other,
    ):
        env = {**pip_env(other), "HALO_CATALOGUE": catalogue(index=f"{own}/simple")}
        done = halo("plugins", "install", "halo-exo", "--json", env=env)
    assert done.code == 2
    assert done.json["version"].startswith("1.0 ")
    assert done.json["index"] == f"{own}/simple"


@pytest.mark.slow(seconds=2)
def test_a_python_without_pip_and_one_of_the_system_are_refused_before_anything_else(
    halo_process: Halo, catalogue: Callable[..., str], tmp_path: Path
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {"PYTHONPATH": path, "HALO_CATALOGUE": catalogue()}
    (site / "sitecustomize.py").write_text(
        "import sys, sysconfig\n"
        f"real = sysconfig.get_path\n"
        f"sysconfig.get_path = lambda n, *a, **k: {str(site)!r} if n == 'stdlib' else real(n)\n"
        "sys.base_prefix = sys.prefix\n"
    )
    (site / "EXTERNALLY-MANAGED").write_text("[externally-managed]\nError=Use apt.\n")
    managed = halo_process("plugins", "install", "halo-exo", "--yes", env=env)
    assert managed.code == 1
    assert managed.err.startswith(f"the system manages the packages of {sys.executable} ({site}")
    (site / "sitecustomize.py").write_text("")
    (site / "pip.py").write_text("raise ModuleNotFoundError('No module named pip')\n")
    missing = halo_process("plugins", "install", "halo-exo", "--yes", env=env)
    assert missing.code == 1
    assert missing.err.startswith(f"this Python has no pip: {sys.executable}. Add it: ")


@pytest.mark.slow(seconds=2)
def test_one_command_adds_an_entry_with_its_check_and_its_row_on_the_page(
    pip_env: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    """Its own copy of the registry; the wheels of halo come from this checkout."""
    root = Path(__file__).parents[2]
    with loopback.serving({FILE: WHEEL}) as address:
        env = {**os.environ, **pip_env(address)}
        env.pop("PIP_TARGET")
        code = (
            "import sys; from pathlib import Path\n"
            f"sys.path.insert(0, {str(root / 'registry')!r})\n"
            "import add, build, check_entries, entries\n"
            f"folder = Path({str(tmp_path)!r})\n"
            "add.PARTS = add.PARTS[:1]\n"
            "for module in (add, check_entries, entries):\n"
            "    module.CHECKED = folder / 'checked'\n"
            "add.FOLDER = folder\n"
            "add.read_entries = lambda: entries.read_entries(folder)\n"
            "add.build.main = lambda arguments: print(build.build_index(\n"
            "    entries.read_entries(folder), build.Registry([]), {})) or 0\n"
            "sys.exit(add.main(['halo-exo']))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "halo-exo.toml").read_text() == (
        'distribution = "halo-exo"\nsummary = "A fair coin as a judge"\nlicense = "MIT"\n'
        'versions = ">=1.0,<2"\n'
    )
    record = json.loads((tmp_path / "checked" / "halo-exo.json").read_text())
    assert record["files"] == {FILE: hashlib.sha256(WHEEL).hexdigest()}
    assert record["components"][0]["name"] == "exo/fair"
    assert record["broken"] >= 1  # Its judge cannot be opened.
    assert "'name': 'exo/fair'" in done.stdout


def test_what_no_entry_names_is_not_installed(halo: Halo, catalogue: Callable[..., str]) -> None:
    env = {"HALO_CATALOGUE": catalogue()}
    done = halo("plugins", "install", "halo-ex0", "--yes", env=env)
    assert done.code == 2
    assert done.err == (
        "halo-ex0: no entry of the catalogue of 2026-01-02 names it, so halo does not install it. "
        "Did you mean 'halo-exo'? Search: halo plugins search WORD. If you know and trust a "
        "distribution, install it with pip\n"
    )


FOUND = package_index.Found(
    distribution="halo-exo",
    version="1.0",
    summary="",
    author="",
    license="",
    homepage="",
    requires=("halo-core>=9",),
    file=FILE,
    sha256="",
    address="",
    index_url="",
)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (FOUND, "halo-exo 1.0 needs halo-core>=9, but halo-core is"),
        (FOUND._replace(distribution="halo-other"), "the index has halo-other 1.0 under the name"),
    ],
)
def test_another_core_and_another_distribution_are_refused(
    found: package_index.Found,
    message: str,
    halo: Halo,
    catalogue: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("halo_core.cli.plugins_install.check_pip_may_install", lambda: None)
    monkeypatch.setattr("halo_core.cli.plugins_install.look_up", lambda *_: found)
    env = {"HALO_CATALOGUE": catalogue()}
    done = halo("plugins", "install", "halo-exo", "--yes", env=env)
    assert done.code == 1
    assert message in done.err


@pytest.mark.parametrize(
    ("printed", "found"),
    [
        ({"plugins": [], "left_out": [], "hooks_only": []}, "this halo does not find it"),
        ({"error": {"message": "odd"}}, "halo plugins fails since then: {"),
        (
            {
                "plugins": [{"distribution": "halo_exo", "kind": "judge", "name": "exo/fair"}],
                "left_out": [],
                "hooks_only": [],
            },
            ["judge exo/fair"],
        ),
        (
            {
                "plugins": [],
                "left_out": [],
                "hooks_only": [{"distribution": "halo_exo", "hooks": ["halo_doctor"]}],
            },
            ["hook halo_doctor"],
        ),
    ],
)
def test_what_an_installed_distribution_provides_is_found_also_if_it_has_only_hooks(
    printed: Any, found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = subprocess.CompletedProcess([], 0, json.dumps(printed), "")
    monkeypatch.setattr(plugins_install, "run_supervised", lambda *_, **__: done)
    if isinstance(found, list):
        assert plugins_install._components_now("halo-exo") == found
    else:
        with pytest.raises(PluginError) as caught:
            plugins_install._components_now("halo-exo")
        assert found in caught.value.message


class Terminal(io.StringIO):
    """A terminal on which somebody has typed."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "installed"), [("n\n", 0), ("\n", 0), ("y\n", 1)])
def test_only_a_yes_installs(
    typed: str,
    installed: int,
    halo: Halo,
    catalogue: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = "halo_core.cli.plugins_install"
    calls: list[str] = []
    monkeypatch.setattr(f"{module}.check_pip_may_install", lambda: None)
    monkeypatch.setattr(f"{module}.look_up", lambda *_: FOUND._replace(requires=()))
    monkeypatch.setattr(f"{module}._install", lambda *_: calls.append("installed"))
    monkeypatch.setattr(f"{module}._components_now", lambda _: ["judge exo/fair"])
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    done = halo("plugins", "install", "halo-exo", env={"HALO_CATALOGUE": catalogue()})
    assert len(calls) == installed
    assert "A plugin is code that runs with your rights. Install halo-exo? [y/N]" in done.out
    if not installed:
        assert (done.code, done.err) == (
            2,
            "install: nothing was installed, because the answer was no\n",
        )


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
    ("there", "words"), [("x.dist-info", "installed"), (None, "not installed")]
)
def test_a_stopped_installation_says_whether_the_plugin_is_installed(
    there: str | None,
    words: str,
    halo: Halo,
    catalogue: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = "halo_core.cli.plugins_install"
    found = iter([None, there])

    def install(*_: object) -> None:
        raise BySignal

    monkeypatch.setattr(f"{module}.check_pip_may_install", lambda: None)
    monkeypatch.setattr(f"{module}.metadata_of", lambda _: next(found))
    monkeypatch.setattr(f"{module}.look_up", lambda *_: FOUND._replace(requires=()))
    monkeypatch.setattr(f"{module}._install", install)
    env = {"HALO_CATALOGUE": catalogue()}
    done = halo("plugins", "install", "halo-exo", "--yes", env=env)
    assert (done.code, done.err) == (
        130,
        f"stopped while pip was working, and pip has ended; halo-exo is {words}\n",
    )


@pytest.mark.parametrize(
    ("index", "advice"),
    [
        ("", "pip install -U halo-exo"),
        (
            "https://exo.example/simple",
            "pip uninstall halo-exo, then halo plugins install halo-exo",
        ),
    ],
)
def test_an_update_comes_from_the_index_of_the_entry(
    index: str,
    advice: str,
    halo: Halo,
    catalogue: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """pip would take a distribution of the same name from its own index."""
    monkeypatch.setattr("halo_core.cli.plugins_install.metadata_of", lambda _: "x.dist-info")
    env = {"HALO_CATALOGUE": catalogue(index=index)}
    done = halo("plugins", "install", "halo-exo", env=env)
    assert done.out == f"halo-exo is installed already: halo plugins. To update it: {advice}\n"
    monkeypatch.setenv("HALO_CATALOGUE", env["HALO_CATALOGUE"])
    older = Registration("judge", "hard", "m:A", "halo-exo", "0.9", "m.py")
    said = f"halo-exo 1.0, but 0.9 is installed: {advice}"
    assert Registry([older]).catalogued("exo/fair") == said


def test_what_is_shown_has_no_requirements_of_extras_and_the_licence_of_the_entry(
    halo: Halo, catalogue: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older pip does not report the licence expression of a wheel."""
    requires = ("exo-words>=1", "pytest; extra == 'test'", "exo-old; python_version < '3'")
    module = "halo_core.cli.plugins_install"
    monkeypatch.setattr(f"{module}.check_pip_may_install", lambda: None)
    monkeypatch.setattr(f"{module}.look_up", lambda *_: FOUND._replace(requires=requires))
    env = {"HALO_CATALOGUE": catalogue()}
    done = halo("plugins", "install", "halo-exo", "--json", env=env)
    assert done.json["requires"] == "exo-words>=1"
    assert done.json["license"] == "MIT (the entry says so)"


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


@pytest.mark.parametrize(
    ("requirement", "reason"),
    [
        ("exo words", "Expected"),
        ("exo; sys_platfrom == 'linux'", "Expected"),
        ("exo>=one", "Expected"),
    ],
)
def test_a_requirement_that_is_not_valid_is_refused(
    requirement: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = {"name": "halo-exo", "version": "1.0", "requires_dist": [requirement]}
    report = {"install": [{"metadata": metadata, "download_info": {"url": f"https://a.b/{FILE}"}}]}
    done = pip_calls.PipResult(0, json.dumps(report), "")
    monkeypatch.setattr(package_index, "pip_settings", dict)
    monkeypatch.setattr(package_index, "call_pip", lambda *_, **__: done)
    with pytest.raises(InstallError) as caught:
        package_index.look_up("halo-exo")
    start = f"{FILE} requires {requirement!r}, which is not a valid requirement ({reason}"
    assert caught.value.message.startswith(start)
    assert "\n" not in caught.value.message


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


def test_a_report_of_an_old_pip_is_an_error_of_halo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_index, "pip_settings", dict)
    monkeypatch.setattr(
        package_index, "call_pip", lambda *_, **__: pip_calls.PipResult(0, "no JSON", "")
    )
    with pytest.raises(InstallError, match="pip 23 or later is needed"):
        package_index.look_up("halo-exo")
