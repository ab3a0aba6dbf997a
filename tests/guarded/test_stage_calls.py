"""Unexpected errors and wrong return values of a stage are reported with a line of its own file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import PluginError, UserError
from halo_core.guarded.stage_calls import (
    check_product,
    checked_result,
    command_of,
    feedback_given_of,
    feedback_wanted_of,
    forecast_of,
    mistakes_of,
    preflight_of,
    tidy_folder,
)
from halo_core.plugins.discovery import discover
from halo_core.spec.document import Document
from halo_core.spec.mistakes import Mistakes
from halo_core.spec.resolver import Resolver
from halo_core.stage import Known, Stage

Halo = Callable[..., Any]

ODD = """
from typing import ClassVar

from pydantic import Field

from halo_core import Forecast, LearnRef, Stage, StageResult, UserError


class Odd(Stage):
    produces: ClassVar = "PRODUCT"
    corpus: LearnRef = Field(description="rows")

    def METHOD:
        BODY

    def run(self, context) -> StageResult:
        RUN
"""


@pytest.fixture
def odd(tmp_path: Path) -> Callable[..., Stage]:
    """Returns a stage with one method whose body comes from the test. It is line 13 of odd.py."""

    def make(method: str, body: str = "", product: str = "model", run: str = "") -> Stage:
        path = tmp_path / "odd.py"
        text = ODD.replace("METHOD", method).replace("BODY", body or "...")
        path.write_text(text.replace("PRODUCT", product).replace("RUN", run or "..."))
        mistakes = Mistakes(Document("x", tmp_path, {}))
        value = {"use": f"file:{path}:Odd", "corpus": "train"}
        found = Resolver(discover(), mistakes).resolve("stage", value, ())
        assert found is not None
        assert isinstance(found.component, Stage)
        return found.component

    return make


def fault(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(PluginError) as caught:
        call()
    return caught.value.message.partition("odd.py:Odd.")[2], str(caught.value.location)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return None", "mistakes() returned None; expected pairs of an option and a message"),
        ("return ['it']", "mistakes() returned 'it'; expected pairs of an option and a message"),
        ("return [('a', 1)]", "mistakes() returned ('a', 1); expected pairs of"),
        ("yield 1 // 0", "mistakes() raised ZeroDivisionError: integer division"),
    ],
)
def test_mistakes_are_pairs_of_texts(odd: Callable[..., Stage], body: str, message: str) -> None:
    stage = odd("mistakes(self)", body)
    told, place = fault(lambda: mistakes_of(stage))
    assert told.startswith(message)
    assert place.endswith(("odd.py:13", "odd.py:14"))


def test_mistakes_may_be_yielded(odd: Callable[..., Stage]) -> None:
    assert mistakes_of(odd("mistakes(self)", "yield 'a', 'b'")) == [("a", "b")]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 'paired'", "returned 'paired'; expected option to kind of feedback"),
        ("return {'data': 'paired'}", "names 'data', which is not a data option; expected corpus"),
        ("return {'corpus': ['paired']}", "names ['paired'] for 'corpus'; expected one of text"),
        ("return {'corpus': 'pairs'}", "names 'pairs' for 'corpus'; expected one of text, pro"),
    ],
)
def test_feedback_is_wanted_of_data_options(
    odd: Callable[..., Stage], body: str, message: str
) -> None:
    stage = odd("feedback_wanted(self)", body)
    told, place = fault(lambda: feedback_wanted_of(stage))
    assert told.startswith(f"feedback_wanted() {message}")
    assert place.endswith("odd.py:13")


@pytest.mark.parametrize("given", ["None", "'pairs'"])
def test_feedback_is_given_of_a_kind_that_there_is(odd: Callable[..., Stage], given: str) -> None:
    stage = odd("feedback_given(self)", f"return {given}", "feedback")
    told, _ = fault(lambda: feedback_given_of(stage))
    assert told.startswith(f"feedback_given() returned {given}, but it makes feedback; expected")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("None", "None; expected Forecast(...)"),
        ("Forecast(weights=1.5)", "weights=1.5; expected a whole number of at least 0, or None"),
        ("Forecast(weights=True)", "weights=True; expected a whole number of at least 0, or None"),
        ("Forecast(weights=-1)", "weights=-1; expected a whole number of at least 0, or None"),
        ("Forecast(size=['big'])", "size=['big']; expected label to text"),
        ("Forecast(size={'memory': 3})", "size={'memory': 3}; expected label to text"),
        ("Forecast(ahead={1: 'a'})", "ahead={1: 'a'}; expected label to text"),
    ],
)
def test_a_forecast_is_numbers_and_texts(
    odd: Callable[..., Stage], said: str, message: str
) -> None:
    stage = odd("forecast(self, known)", f"return {said}")
    told, place = fault(lambda: forecast_of(stage, Known(cache=Path("cache"))))
    assert told == f"forecast() returned {message}"
    assert place.endswith("odd.py:13")


def test_a_preflight_raises_and_returns_nothing(odd: Callable[..., Stage]) -> None:
    told, _ = fault(lambda: preflight_of(odd("preflight(self, models)", "return 'no key'"), {}))
    assert told == (
        "preflight() returned 'no key'; expected None; a problem must be raised as a UserError"
    )


@pytest.mark.parametrize("command", ["'halo worker'", "[]", "['halo', 1]", "7"])
def test_a_command_is_a_list_of_words(odd: Callable[..., Stage], command: str) -> None:
    stage = odd("command(self, folder)", f"return {command}")
    told, _ = fault(lambda: command_of(stage, Path()))
    assert told == f"command() returned {command}; expected a program and its arguments, or None"


def test_what_is_raised_on_purpose_passes_through(odd: Callable[..., Stage]) -> None:
    stage = odd("preflight(self, models)", "raise UserError('too small')")
    with pytest.raises(UserError, match=r"^too small$"):
        preflight_of(stage, {})


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("None", "None; expected StageResult(...)"),
        ("({'loss': 1.0}, 'done')", "({'loss': 1.0}, 'done'); expected StageResult(...)"),
        ("StageResult({}, None)", "headline=None; expected a sentence"),
        ("StageResult({}, '\\ud800')", "headline='\\ud800'; expected a sentence"),
        ("StageResult({'n': 2 << 1100})", f"the metric 'n': {2 << 1100}; expected a finite number"),
        ("StageResult([1.0])", "metrics=[1.0]; expected name to number"),
        ("StageResult({'loss': float('nan')})", "the metric 'loss': nan; expected a finite number"),
        ("StageResult({'a': 1, 'b': -1e999})", "the metric 'b': -inf; expected a finite number"),
        ("StageResult({'loss': '1'})", "the metric 'loss': '1'; expected a finite number"),
        ("StageResult({'ok': True})", "the metric 'ok': True; expected a finite number"),
        ("StageResult({1: 1.0})", "the metric 1: 1.0; expected a finite number"),
    ],
)
def test_a_result_is_finite_numbers_and_a_sentence(
    odd: Callable[..., Stage], result: str, message: str
) -> None:
    stage: Any = odd("more(self)", run=f"return {result}")
    told, place = fault(lambda: checked_result(stage, stage.run(None)))
    assert told == f"run() returned {message}"
    assert place.endswith("odd.py:16")


@pytest.mark.parametrize(
    ("product", "name"),
    [
        ("model", "model/"),
        ("samples", "samples.jsonl"),
        ("verdicts", "verdicts.jsonl"),
        ("feedback", "feedback.jsonl"),
    ],
)
def test_a_stage_leaves_what_it_promises(
    odd: Callable[..., Stage], tmp_path: Path, product: str, name: str
) -> None:
    stage, promised = odd("more(self)", product=product), tmp_path / name
    message = f"run() ended without {name} in its folder; a stage that makes {product} writes it"
    assert fault(lambda: check_product(stage, tmp_path))[0] == message
    promised.touch() if product == "model" else promised.mkdir()
    assert fault(lambda: check_product(stage, tmp_path))[0] == message
    promised.unlink() if product == "model" else promised.rmdir()
    if product == "model":
        promised.mkdir()
        assert fault(lambda: check_product(stage, tmp_path))[0] == message
        (promised / "config.json").touch()
    else:
        promised.touch()
    check_product(stage, tmp_path)


def test_a_stage_that_cannot_tidy_is_told_and_does_not_fail(
    odd: Callable[..., Stage], tmp_path: Path
) -> None:
    stage = odd("tidy(self, folder)", "folder.joinpath('state').unlink()")
    complaint = tidy_folder(stage, tmp_path)
    assert complaint is not None
    assert complaint.startswith("not all files that only an interrupted stage needs are removed: ")
    assert "tidy() raised FileNotFoundError" in complaint
    assert f"{tmp_path / 'odd.py'}:14" in complaint
    (tmp_path / "state").touch()
    assert tidy_folder(stage, tmp_path) is None
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("return StageResult({'loss': float('nan')})", "the metric 'loss': nan; expected a finite"),
        ("return StageResult()", "run() ended without model/ in its folder"),
    ],
)
def test_a_run_of_a_faulty_stage_blames_its_plugin_and_is_not_done(
    halo: Halo, spec_file: Path, tmp_path: Path, run: str, message: str
) -> None:
    text = ODD.replace("METHOD", "more(self)").replace("BODY", "...").replace("PRODUCT", "model")
    (tmp_path / "odd.py").write_text(text.replace("RUN", run))
    stage = "{use: 'file:./odd.py:Odd', corpus: train}"
    failed = halo("run", str(spec_file), "--set", f"stages.learn={stage}", "--json")
    assert failed.code == 3, failed.err
    assert failed.json["error"]["type"] == "PluginError"
    assert message in failed.json["error"]["message"]
    assert failed.json["error"]["location"] == f"{tmp_path / 'odd.py'}:16"
    assert not list((tmp_path / "workspace").glob("stages/*/done.json"))
