"""The catalogue: entries, the index made of them, and the hints that read it."""

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from halo_core import __version__
from halo_core.cli import call
from halo_core.errors import UserError
from halo_core.plugins.builtin_names import RESERVED
from halo_core.plugins.catalogue import Catalogue, Entry, parse_index, shipped_catalogue
from halo_core.plugins.fetched_catalogue import newest_catalogue
from halo_core.plugins.registrar import Registration
from halo_core.plugins.registry import Registry

FOLDER = Path(__file__).parents[2] / "registry"
DISTRIBUTIONS = sorted(path.name for path in FOLDER.parent.glob("plugins/halo-*"))


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))  # it imports modules from its own folder
    spec = importlib.util.spec_from_file_location("registry_build", FOLDER / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_entries_and_index_have_not_drifted_apart(
    build: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build.main(["--check"]) == 0, capsys.readouterr().err


def own(catalogue: Catalogue) -> list[Entry]:
    """Returns the entries of the repository. Those of other people may say and break anything."""
    return [entry for entry in catalogue.entries if entry.distribution in DISTRIBUTIONS]


def test_every_distribution_of_the_repository_has_an_entry() -> None:
    assert {path.stem for path in FOLDER.glob("*.toml")} >= {*DISTRIBUTIONS}
    assert [entry.distribution for entry in own(shipped_catalogue())] == DISTRIBUTIONS


def test_the_index_has_every_entry() -> None:
    files = sorted(path.stem for path in FOLDER.glob("*.toml"))
    assert [entry.distribution for entry in shipped_catalogue().entries] == files


def test_an_entry_of_somebody_else_is_left_to_its_own_check() -> None:
    """Its plugin has another version, was checked with an older core, and broke a rule."""
    shipped = json.loads((FOLDER / "index.json").read_text())
    with_acme = {**shipped, "distributions": [*shipped["distributions"], ACME]}
    catalogue = parse_index(json.dumps(with_acme), "here")
    assert len(catalogue.entries) == len(shipped["distributions"]) + 1
    assert own(catalogue) == own(shipped_catalogue())


def test_the_index_has_every_reserved_name() -> None:
    entries = shipped_catalogue().entries
    found = {(c.kind, c.name): e.distribution for e in entries for c in e.components}
    for kind, names in RESERVED.items():
        for name, owner in names.items():
            if owner != "halo-core":
                assert found[kind, name] == owner


def test_every_component_of_the_repository_has_a_summary_and_described_options() -> None:
    index = json.loads((FOLDER / "index.json").read_text())
    ours = [entry for entry in index["distributions"] if entry["distribution"] in DISTRIBUTIONS]
    for entry in ours:
        for component in entry["components"]:
            assert component["summary"].strip(), component["name"]
            assert all(option["description"] for option in component.get("options", ()))


def test_every_distribution_of_the_repository_was_checked_with_this_core_and_passed() -> None:
    for entry in own(shipped_catalogue()):
        assert entry.checked is not None, f"python registry/check_entries.py {entry.distribution}"
        assert (entry.checked.version, entry.checked.core) == (__version__, __version__)
        assert entry.checked.broken == 0, entry.distribution


GOOD = 'distribution = "halo-acme"\nsummary = "Losses of Acme"\nlicense = "MIT"\nversions = ">=1"\n'


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("license", "licence"),
            "Additional properties are not allowed ('licence' was unexpected)",
        ),
        (("MIT", "Apache 2"), "license: 'Apache 2' is not an SPDX expression; expected"),
        ((">=1", "1 or 2"), "versions: '1 or 2' is not a range; expected, for example, >=1.2,<2"),
        (("Losses of", "L"), "summary: 'L Acme' is too short"),
        (("of Acme", "of\\nAcme"), "summary: it has several lines; expected one"),
        (("halo-acme", "Halo_Acme"), "distribution: 'Halo_Acme' does not match"),
        (("halo-acme", "halo-other"), "expected 'halo-acme', the name of the file"),
        (('"MIT"', "MIT"), "Invalid value (at line 3, column 11)"),
        (
            ("MIT", 'MIT"\nindex = "http://example.org'),
            "index: 'http://example.org' does not match",
        ),
        (
            ("MIT", 'MIT"\nindex = "https://me:sesame@example.org/simple'),
            "index: 'https://me:sesame@example.org/simple' does not match",
        ),
        (
            ("MIT", 'MIT"\nindex = "acme'),
            "; expected: The address of its package index, if it is not on the one that pip uses.",
        ),
        (("MIT", 'MIT"\nnumber = "3'), "Additional properties are not allowed ('number' was"),
    ],
)
def test_a_wrong_entry_is_one_line(
    change: tuple[str, str], message: str, build: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "halo-acme.toml").write_text(GOOD)
    assert len(build.read_entries(tmp_path)) == 1
    (tmp_path / "halo-acme.toml").write_text(GOOD.replace(*change, 1))
    with pytest.raises(ValueError, match=r"^halo-acme\.toml: ") as caught:
        build.read_entries(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_entries_of_one_namespace_are_refused(build: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text(GOOD.replace("halo-acme", "acme"))
    (tmp_path / "halo-acme.toml").write_text(GOOD)
    with pytest.raises(ValueError, match="acme has the namespace 'acme' too"):
        build.read_entries(tmp_path)


def test_the_date_of_the_index_is_that_of_its_last_change(build: ModuleType) -> None:
    entry = {"distribution": "halo-acme", "summary": "Losses", "license": "MIT", "versions": ">=1"}
    first = build.build_index([entry], Registry([]), {})
    earlier = {**first, "date": "2026-01-02"}
    assert build.build_index([entry], Registry([]), earlier)["date"] == "2026-01-02"
    changed = {**entry, "license": "BSD-3-Clause"}
    assert build.build_index([changed], Registry([]), earlier)["date"] == first["date"]


ACME: dict[str, Any] = {
    "distribution": "halo-acme",
    "version": "1.0",
    "versions": ">=1",
    "summary": "Losses of Acme",
    "license": "MIT",
    "homepage": "",
    "index": "",
    "checked": {"version": "1.0", "core": "0.1.0", "date": "2026-01-01", "broken": 1, "rules": 9},
    "components": [
        {"kind": "loss", "name": "acme/soft", "summary": "Soft & <mild>, with `a|b`.",
         "citation": "Ann (2020)", "options": [{"name": "beta"}]}
    ],
}  # fmt: skip
INDEX = {"schema": 1, "date": "2026-01-02", "distributions": [ACME]}


def test_the_page_has_a_row_for_each_component(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    page = importlib.import_module("catalogue_page").catalogue_page(INDEX)
    assert "plugins of 2026-01-02;" in page
    last = "1.0 with core 0.1.0 on 2026-01-01: 1 of 9 rules broken"
    assert f"| halo-acme | Losses of Acme | `>=1` | MIT | {last} |" in page
    assert (
        "<tr><td><code>acme/soft</code></td><td>loss</td>"
        "<td>Soft &amp; &lt;mild&gt;, with <code>a|b</code>.<br>Options: <code>beta</code>.<br>"
        "<em>Ann (2020)</em></td><td><code>halo plugins install halo-acme</code><br>"
        f"MIT. {last}.</td></tr>"
    ) in page
    # The path of the script, and the class that it looks for.
    script = (FOLDER.parent / "docs" / "javascripts" / "catalogue.js").read_text()
    assert '".catalogue"' in script
    assert '<div class="catalogue">' in page
    assert "javascripts/catalogue.js" in (FOLDER.parent / "mkdocs.yml").read_text()


@pytest.fixture
def acme_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue with one plugin that is not installed, which HALO_CATALOGUE names."""
    file = tmp_path / "index.json"
    file.write_text(json.dumps(INDEX))
    monkeypatch.setenv("HALO_CATALOGUE", str(file))
    return file


def test_a_search_finds_words_in_names_citations_and_options(
    acme_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["plugins", "search", "ANN", "beta", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["date"], found["source"]) == ("2026-01-02", str(acme_file))
    assert [row["name"] for row in found["found"]] == ["acme/soft"]
    assert found["found"][0]["installed"] is False
    assert call(["plugins", "search", "soft"]) == 0
    said = capsys.readouterr().out
    assert "halo-acme 1.0: Losses of Acme (MIT)\n  checked: 1.0 with core 0.1.0" in said
    assert "  halo plugins install halo-acme\n" in said
    assert said.endswith(f"Catalogue of 2026-01-02, {acme_file}.\n")
    assert call(["plugins", "search", "soft", "nowhere"]) == 0
    assert "Nothing in the catalogue has 'soft' and 'nowhere'." in capsys.readouterr().out


def test_components_with_the_words_come_before_those_of_a_distribution_with_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The description of halo-methods has the word, and so has each of its components."""
    assert call(["plugins", "search", "kto", "--json"]) == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)["found"]]
    assert names[:2] == ["kto", "kto-log-sigmoid"]
    assert "sft" in names


def test_a_catalogued_name_that_is_not_installed_says_what_to_install(acme_file: Path) -> None:
    said = "is in halo-acme, which is not installed: halo plugins install halo-acme"
    with pytest.raises(UserError) as caught:
        Registry([]).find("loss", "acme/soft")
    assert str(caught.value) == f"the loss 'acme/soft' {said}"
    assert Registry([]).catalogued("acme/soft") == said.removeprefix("is in ")
    older = Registration("judge", "hard", "m:A", "halo-acme", "0.9", "m.py")
    assert Registry([older]).catalogued("acme/soft") == (
        "halo-acme 1.0, but 0.9 is installed: pip install -U halo-acme"
    )
    assert Registry([]).catalogued("acme/soft", "judge") == ""


@pytest.mark.parametrize("written", ["acme/sofd", "soft"])
def test_a_name_that_is_nearly_a_catalogued_one_says_where_that_is(
    written: str, acme_file: Path
) -> None:
    with pytest.raises(UserError) as caught:
        Registry([]).find("loss", written)
    assert str(caught.value) == (
        f"no loss named {written!r}. Did you mean 'acme/soft'? It is in halo-acme, which is not "
        "installed: halo plugins install halo-acme. Installed: none. "
        "Others: halo plugins --available"
    )


def test_a_catalogued_component_and_command_that_are_not_installed_are_hinted_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = {"kind": "command", "name": "acme/hi", "summary": "Say hi."}
    entry = {**ACME, "components": [*ACME["components"], command]}
    file = tmp_path / "index.json"
    file.write_text(json.dumps({**INDEX, "distributions": [entry]}))
    monkeypatch.setenv("HALO_CATALOGUE", str(file))
    said = "is in halo-acme, which is not installed: halo plugins install halo-acme\n"
    assert call(["plugins", "show", "acme/soft"]) == 2
    assert capsys.readouterr().err == f"'acme/soft' {said}"
    assert call(["acme/hi"]) == 2
    assert capsys.readouterr().err == f"the command 'acme/hi' {said}"


def test_the_fetched_catalogue_is_copied_for_hints_and_replaced_by_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = loopback()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with server.serving(
        {"index.json": json.dumps(INDEX).encode(), "bad.json": b"[]", "odd.json": b"\xff"}
    ) as address:
        monkeypatch.setenv("HALO_CATALOGUE", f"{address}/index.json")
        shipped = shipped_catalogue()
        fetched, warning = newest_catalogue()
        assert (fetched.entries[0].distribution, warning) == ("halo-acme", "")
        monkeypatch.setenv("HALO_CATALOGUE", f"{address}/bad.json")
        known, warning = newest_catalogue()
        assert known == shipped
        assert "bad.json could not be used: the catalogue is not an index" in warning
        monkeypatch.setenv("HALO_CATALOGUE", f"{address}/absent.json")
        assert "absent.json could not be used: the server answered 404 " in newest_catalogue()[1]
        monkeypatch.setenv("HALO_CATALOGUE", f"{address}/odd.json")
        assert newest_catalogue()[1].endswith("odd.json could not be used: it is not UTF-8")
        monkeypatch.setenv("HALO_CATALOGUE", f"{address}/index.json")
    # The server has ended.
    copied, warning = newest_catalogue()
    assert copied.entries == fetched.entries
    assert copied.source == f"copied from {address}/index.json"
    assert "index.json could not be used: the server cannot be reached (" in warning
    assert Registry([]).catalogued("acme/soft")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TimeoutError("timed out"), "timed out"),
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
    ],
)
def test_a_reply_that_does_not_arrive_is_one_sentence(
    error: OSError, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HALO_CATALOGUE", "https://127.0.0.1/index.json")
    monkeypatch.setattr("urllib.request.urlopen", stops)
    known, warning = newest_catalogue()
    assert known == shipped_catalogue()
    assert warning.endswith(f"could not be used: the reply did not arrive ({told})")


def test_an_address_without_encryption_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALO_CATALOGUE", "http://ann:sesame@example.org/index.json")
    with pytest.raises(UserError) as caught:
        newest_catalogue()
    assert str(caught.value) == (
        "HALO_CATALOGUE: got 'http://***@example.org/index.json'; expected a file, or an address "
        "that begins with https://"
    )


def test_an_address_that_is_none_and_one_with_a_password_are_told_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HALO_CATALOGUE", "https://[bad")
    with pytest.raises(UserError, match="expected a file, or an address that begins with https://"):
        newest_catalogue()
    # Python takes the password for the port.
    monkeypatch.setenv("HALO_CATALOGUE", "https://ann:sesame@127.0.0.1/index.json")
    known, warning = newest_catalogue()
    assert known == shipped_catalogue()
    told = "could not be used: the address or the reply is not valid (InvalidURL)"
    assert warning == f"https://***@127.0.0.1/index.json {told}"


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("[]", "TypeError"),
        ("{", "JSONDecodeError"),
        ('{"schema": 2}', "its schema is 2; this core reads 1"),
        ({**INDEX, "date": 3}, "date is 3; expected a text"),
        ({**INDEX, "distributions": [{**ACME, "distribution": "-r x"}]}, "'-r x' is not the norm"),
        ({**INDEX, "distributions": [{**ACME, "components": [{"kind": "x"}]}]}, "'x' is not a"),
    ],
)
def test_what_is_not_an_index_is_refused(index: object, message: str) -> None:
    text = index if isinstance(index, str) else json.dumps(index)
    with pytest.raises(UserError, match=r"^here: the catalogue is not an index") as caught:
        parse_index(text, "here")
    assert message in str(caught.value)


def loopback() -> ModuleType:
    file = FOLDER.parent / "tests" / "plugins" / "loopback_index.py"
    spec = importlib.util.spec_from_file_location("loopback_index", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_backslashes_do_not_show_within_code_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    page = importlib.import_module("page")
    assert page._escaped("As what `max_tokens` is *sent*") == "As what `max_tokens` is \\*sent\\*"
    assert page._escaped("`a|b` of <n>") == "`a\\|b` of \\<n\\>"
    assert page._escaped("a lone ` is_no code") == "a lone ` is\\_no code"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["halo-acme==1.0"], "expected the name of a distribution alone; --versions takes a range"),
        (["../acme"], "expected the name of a distribution alone"),
        (["halo-acme", "--versions", "beta"], "versions: 'beta' is not a range; expected, for"),
        (["halo-acme", "--versions", "2.0"], "versions: '2.0' is not a range; expected, for"),
        (["halo-acme", "--license", "MIT licence"], "license: 'MIT licence' is not an SPDX expr"),
        (["halo-acme", "--summary", "short"], "summary: 'short' is too short"),
        (["halo-acme", "--index", "acme"], "index: 'acme' does not match"),
    ],
)
def test_what_is_given_for_an_entry_is_checked_before_an_index_is_asked(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """pip would look for the distribution ``halo-acme2.0``, which is another one."""
    monkeypatch.syspath_prepend(str(FOLDER))
    add = importlib.import_module("add")

    def look_up(*_: object) -> None:
        raise AssertionError("an index was asked")

    monkeypatch.setattr(add, "look_up", look_up)
    assert add.main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"{arguments[0]}: {message}")


def test_a_wrong_entry_is_one_line_of_the_check_of_all_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    check_entries = importlib.import_module("check_entries")
    (tmp_path / "halo-acme.toml").write_text(GOOD.replace(">=1", "beta"))
    read_entries = check_entries.read_entries
    monkeypatch.setattr(check_entries, "read_entries", lambda: read_entries(tmp_path))
    assert check_entries.check_all([]) == 2
    assert capsys.readouterr().err == (
        "halo-acme.toml: versions: 'beta' is not a range; expected, for example, >=1.2,<2\n"
    )
