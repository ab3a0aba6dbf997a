"""`halo plugins install`, with pip and a package index of made wheels on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import loopback_index as loopback
import pytest
from loopback_index import FILE, WHEEL

Halo = Callable[..., Any]


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
