"""The questions, refusals and words of `halo plugins install`; pip is not called."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from loopback_index import FILE

from halo_core.cli import plugins_install
from halo_core.errors import PluginError
from halo_core.plugins import package_index
from halo_core.plugins.registrar import Registration
from halo_core.plugins.registry import Registry
from halo_core.stop_flag import BySignal

Halo = Callable[..., Any]


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
