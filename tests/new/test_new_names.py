"""`halo new` refuses bad names with one sentence, and takes unusual ones."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import UserError
from halo_core.new.kinds import KINDS
from halo_core.new.names import LONGEST, Part, parts_of, plugin_name
from halo_core.new.package import named
from halo_core.plugins.builtin_names import RESERVED

Halo = Callable[..., Any]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "Manners",
            "'Manners' has other characters than lower-case letters, digits and",
        ),
        ("halo_manners", "; write 'halo-manners'"),
        ("good.manners", "; write 'good-manners'"),
        ("good--manners-", "; write 'good-manners'"),
        ("./manners", "is a path; give a name, and choose the folder with --folder"),
        ("plugins/manners", "is a path; give a name, and choose the folder with --folder"),
        ("..", "is a path"),
        ("2fast", "is not a name; give lower-case letters, digits and single hyphens, and begin"),
        ("", "'' is not a name"),
        ("halo-", "'halo-' has no name after the prefix of distributions; add one of your own"),
        ("Halo--", "'Halo--' has no name after the prefix of distributions"),
        ("mänge", "is not a name"),
        ("a b", "is not a name"),
        ("a" * 31, f"has 31 characters; give at most {LONGEST}"),
        ("halo", "halo is the project itself"),
        ("halo-core", "halo-core is one of halo's own distributions; choose another name"),
        ("statistics", "halo-statistics is one of halo's own distributions"),
        ("halo-judge", "halo-judge is one of halo's own distributions"),
    ],
)
def test_a_bad_name_of_a_plugin_gets_one_sentence(name: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        plugin_name(name)
    assert message in raised.value.message
    assert raised.value.location == "NAME"


def test_a_name_is_taken_with_and_without_its_prefix() -> None:
    assert plugin_name("halo-manners") == plugin_name("manners") == "manners"
    assert plugin_name("a" * LONGEST) == "a" * LONGEST


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("halo_manners-1.dist-info", "halo-manners is installed here already, in "),
        ("manners-1.dist-info", "the components of manners, which is installed here, are called"),
    ],
)
def test_an_installed_distribution_of_the_name_is_found(
    folder: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / folder).mkdir()
    name = folder.partition("-")[0]
    (tmp_path / folder / "METADATA").write_text(f"Name: {name}\nVersion: 1\n")
    (tmp_path / folder / "entry_points.txt").write_text("[halo]\nx = x.plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match="choose another name") as raised:
        plugin_name("manners")
    assert message in raised.value.message


def test_a_distribution_of_the_catalogue_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = (ROOT / "registry" / "index.json").read_text()
    (tmp_path / "index.json").write_text(index.replace('"halo-methods"', '"halo-manners"'))
    monkeypatch.setenv("HALO_CATALOGUE", str(tmp_path / "index.json"))
    with pytest.raises(UserError, match="halo-manners is in the catalogue already"):
        plugin_name("manners")


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ([], "give at least one kind of component, as in --kind loss; kinds: loss, reference-poi"),
        (["los"], "no kind 'los'. Did you mean 'loss'? Kinds: loss, "),
        (["loss,judge"], "Repeat the option for several: --kind loss --kind judge. Kinds: loss, "),
        (["loss="], "'' is not a name"),
        (["loss=Hinge"], "'Hinge' has other characters"),
        (["loss=my_hinge"], "write 'my-hinge'"),
        (["loss=./hinge"], "is a path"),
        (["loss=kto"], "'kto' is a loss of halo-methods, and a spec that forgets 'manners/' would"),
        (["data=toy"], "choose another name, as in --kind data=my-toy"),
        (["command=run"], "'run' is a command of halo-core"),
        (
            ["loss", "loss"],
            "'manners' would be the name of two components of the kind 'loss'; give",
        ),
        (
            ["data=best", "conversion"],
            "'best' would be the name of two components of the kind 'data source'",
        ),
    ],
)
def test_a_bad_kind_gets_one_sentence(kinds: list[str], message: str) -> None:
    with pytest.raises(UserError) as raised:
        parts_of(kinds, "manners")
    assert message in raised.value.message


def test_a_plugin_with_the_name_of_a_built_in_component_needs_a_name_for_its_own() -> None:
    with pytest.raises(UserError, match="as in --kind loss=my-kto"):
        parts_of(["loss"], "kto")
    assert parts_of(["loss=my-kto", "judge"], "kto")[1].name == "kto"


def test_several_components_of_a_kind_have_their_own_names() -> None:
    parts = parts_of(["loss=a", "loss=b-c", "reference_point", "conversion"], "manners")
    assert [(part.name, part.module, part.attribute) for part in parts] == [
        ("a", "a_loss", "ALoss"),
        ("b-c", "b_c_loss", "BCLoss"),
        ("manners", "manners_point", "MannersPoint"),
        ("best", "best_conversion", "BestConversion"),
    ]


@pytest.mark.parametrize("word", ["class", "none", "import", "plugin", "test", "oak-tree", "acorn"])
def test_a_word_with_another_meaning_is_a_good_name(word: str) -> None:
    for kind in KINDS.values():
        part = Part(kind, word)
        text = named(f"from halo_acorn.oak_{kind.ending} import OakX, oak_x", word, word)
        ast.parse(text)
        assert text.startswith(f"from halo_{word.replace('-', '_')}.{part.module} import ")
        assert part.attribute.isidentifier()


def test_each_kind_of_the_core_can_be_written() -> None:
    assert {kind.registers for kind in KINDS.values()} == {*RESERVED}


def test_a_subcommand_that_does_not_exist_gets_advice(halo: Halo) -> None:
    done = halo("new", "judge")
    assert done.code == 2
    assert "It writes plugins: halo new plugin NAME --kind judge" in done.err
