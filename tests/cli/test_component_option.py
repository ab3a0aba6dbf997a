"""A component given on the command line is read like one in a spec."""

from __future__ import annotations

from pathlib import Path

import pytest

from halo_core.cli.options import component_given
from halo_core.errors import SpecErrors, UserError


def test_a_name_and_a_mapping_give_the_same_component() -> None:
    by_name = component_given("judge", "longest", option="--judge")
    by_mapping = component_given("judge", "{use: longest}", option="--judge")
    assert by_name.component == by_mapping.component


def test_an_override_goes_before_what_the_mapping_says() -> None:
    found = component_given(
        "loss", "{use: kto, beta: 0.2}", option="--loss", overrides=["loss.beta=0.4"]
    )
    assert found.tree()["beta"] == 0.4


def test_an_override_gives_a_bare_name_options() -> None:
    found = component_given("loss", "kto", option="--loss", overrides=["loss.beta=0.4"])
    assert found.tree()["beta"] == 0.4


def test_relative_paths_start_at_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    monkeypatch.chdir(tmp_path)
    found = component_given("data", "{use: jsonl, path: rows.jsonl}", option="--data")
    assert found.tree()["path"] == str(tmp_path / "rows.jsonl")


def test_all_mistakes_are_told_with_the_option_they_stand_in() -> None:
    with pytest.raises(SpecErrors) as told:
        component_given("loss", "{use: kto, beat: 1}", option="--loss", overrides=["loss.bta=2"])
    first, second = str(told.value).splitlines()[:2]
    assert first.startswith("--loss: loss.beat: unknown option 'beat'. Did you mean 'beta'?")
    assert second.startswith("--set loss.bta=2: loss.bta: unknown option 'bta'.")
    assert str(told.value).endswith("2 mistakes in --loss.")


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("kt0", (), "--loss: no loss named 'kt0'. Did you mean 'kto'?"),
        ("{use: kto, beta: -1}", (), "--loss: loss.beta: got -1; expected a number above"),
        ("[kto]", (), "--loss: got ['kto']; expected a loss: NAME or {use: NAME, ...}"),
        ("{use: kto", (), "--loss {use: kto: not valid YAML"),
        ("kto", ("los.beta=1",), "--set los.beta=1: expected a path below loss"),
        ("3", ("loss.beta=1",), "--set loss.beta=1: 'loss' is 3, which has nothing below it"),
    ],
)
def test_each_mistake_says_where_and_what(
    text: str, overrides: tuple[str, ...], message: str
) -> None:
    with pytest.raises((SpecErrors, UserError)) as told:
        component_given("loss", text, option="--loss", overrides=overrides)
    assert message in str(told.value)
