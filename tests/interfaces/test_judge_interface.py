"""The rules for classes of judges: they are opened with `JudgeContext`, and may score."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from halo_core import Comparison, Judge, JudgeContext, PluginError, Score, ScoringJudge
from halo_core.component import interface_of, is_interface
from halo_core.judge import Quote

CONTEXT = JudgeContext(Path("own"), Path("shared"))
PROMPT = ({"role": "user", "content": "q"},)


def refused(base: type[Judge], **methods: Any) -> str:
    """Returns why a class of judges cannot be defined."""
    with pytest.raises(PluginError) as error:
        type("Old", (base,), {"__module__": __name__, **methods})
    assert error.value.location == f"{__name__}.Old"
    return error.value.message


def opens(self: Judge, context: JudgeContext) -> Any:
    raise NotImplementedError


def opens_folder(self: Judge, folder: Path) -> Any:
    raise NotImplementedError


def with_models(self: Judge, models: object) -> Any:
    raise NotImplementedError


def open_shared(self: Judge, folder: Path, shared: Path) -> Any:
    raise NotImplementedError


def test_a_judge_that_is_opened_in_a_folder_is_told_of_the_context() -> None:
    assert refused(Judge, open=opens_folder) == (
        "open() takes ['folder']; expected open(self, context): context.folder is the judge's own "
        "folder, see halo_core.JudgeContext"
    )
    assert refused(ScoringJudge, open_scoring=opens_folder).startswith("open_scoring() takes ['fol")
    assert refused(Judge, open=open_shared).startswith("open() takes ['folder', 'shared'];")
    assert refused(Judge, open=lambda self: None).startswith("open() takes [];")


def test_a_method_that_is_no_longer_called_is_told_what_is_instead() -> None:
    assert refused(Judge, open=opens, open_shared=open_shared) == (
        "open_shared() is no longer called; leave it out: open(context) has context.shared, the "
        "folder of replies that were paid for"
    )
    assert refused(Judge, open=opens, with_models=with_models) == (
        "with_models() is no longer called; leave it out: open(context) has context.models, those "
        "that its options name"
    )


@pytest.mark.parametrize("scoring", [opens, opens_folder])
@pytest.mark.parametrize("comparing", [opens, opens_folder])
def test_a_judge_that_scores_without_being_one_is_told_which_class_to_take(
    comparing: object, scoring: object
) -> None:
    assert refused(Judge, open=comparing, open_scoring=scoring) == (
        "open_scoring() alone does not make a scoring judge: subclass halo_core.ScoringJudge "
        "instead of Judge, leave open() out and take context in place of a folder"
    )


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("compared_by_score", "subclass ScoringJudge, which compares by its scores itself"),
        ("ModelJudge", "open(context) of a Judge has context.models"),
        ("PaidJudge", "every Judge has quote(), and open(context) has context.shared"),
    ],
)
def test_what_old_judges_import_is_told_what_there_is_instead(name: str, instead: str) -> None:
    with pytest.raises(ImportError) as error:
        exec(f"from halo_core import {name}")
    assert str(error.value) == f"halo_core.{name} was removed: {instead}"


def test_a_judge_that_scores_opens_in_no_way_of_its_own() -> None:
    assert refused(ScoringJudge, open=opens, open_scoring=opens) == (
        "a ScoringJudge compares by its scores: leave open() out, open_scoring(context) gives its "
        "session"
    )


@pytest.mark.parametrize(("misspelt", "meant"), [("tie_bellow", "tie_below"), ("quotes", "quote")])
def test_a_misspelt_method_of_either_interface_is_refused(misspelt: str, meant: str) -> None:
    message = refused(ScoringJudge, open_scoring=opens, **{misspelt: opens})
    assert message.startswith(f"{misspelt}() is not a method of ScoringJudge, so nothing calls it.")
    assert f"Did you mean {meant}()?" in message


def test_options_shadow_no_member_of_a_judge_that_scores() -> None:
    annotated = {"__annotations__": {"open_scoring": str}}
    field = Field(default="", description="Value of the option.")
    with pytest.warns(UserWarning, match="shadows"):
        message = refused(ScoringJudge, **annotated, open_scoring=field)
    assert message == (
        "option 'open_scoring' shadows a member of ScoringJudge: call it open_scoring_, and keep "
        "the name in specs with open_scoring_: ... = Field(alias='open_scoring', ...)"
    )


def test_a_decorated_open_is_taken_by_what_it_wraps() -> None:
    class Wrapped(Judge):
        @contextmanager
        def open(self, context: JudgeContext, retries: int = 3) -> Any:
            yield context

    with Wrapped().open(CONTEXT) as opened:
        assert opened == CONTEXT


def test_a_decorator_that_hides_what_it_wraps_is_taken() -> None:
    class Hidden(Judge):
        open = lambda self, *given: nullcontext(given)  # type: ignore  # noqa: E731

    with Hidden().open(CONTEXT) as opened:
        assert opened == (CONTEXT,)


class Lengths(ScoringJudge):
    """Scores by the length."""

    gap: float = Field(default=0.0, description="A smaller difference is a tie.")

    def tie_below(self) -> float:
        return self.gap

    def open_scoring(self, context: JudgeContext) -> Any:
        assert context == CONTEXT
        return nullcontext(self)

    def score(self, answers: Any) -> Any:
        return [Score(answer.id, float(len(answer.completion))) for answer in answers]


def test_a_judge_that_scores_is_an_interface_of_the_kind_judge() -> None:
    assert is_interface(ScoringJudge)
    assert interface_of(Lengths) is ScoringJudge
    assert Lengths.kind == ScoringJudge.kind == Judge.kind == "judge"


@pytest.mark.parametrize(("gap", "winner"), [(0.0, "A"), (1.0, "A"), (1.5, "tie")])
def test_a_judge_that_scores_compares_by_score_and_its_own_tie(gap: float, winner: str) -> None:
    with Lengths(gap=gap).open(CONTEXT) as session:
        (verdict,) = session.compare([Comparison("1", PROMPT, "aaa", "aa")])
    assert verdict.winner == winner


def test_a_judge_costs_nothing_and_is_ready_unless_it_says_otherwise() -> None:
    judge = Lengths()
    judge.check_ready()
    assert judge.quote([Comparison("1", PROMPT, "a", "b")], Path("shared")) is None
    assert CONTEXT.models == {}


class Priced(Lengths):
    """Costs a dollar a comparison."""

    def quote(self, comparisons: Any, shared: Path) -> Quote:
        return Quote(len(comparisons), 0, 0, 0, float(len(comparisons)), "m")


def test_a_judge_may_be_quoted() -> None:
    quote = Priced().quote([Comparison("1", PROMPT, "a", "b")], Path("shared"))
    assert quote == Quote(1, 0, 0, 0, 1.0, "m")


@pytest.mark.parametrize("name", ["ChatServer", "ChatReply", "FAULTS", "planned_faults"])
def test_the_chat_server_is_told_to_be_in_the_distribution_of_judges(name: str) -> None:
    with pytest.raises(ImportError) as error:
        exec(f"from halo_core.testing import {name}")
    assert (
        str(error.value) == f"{name} is now in halo_judge.testing, in the distribution halo-judge"
    )


@pytest.mark.parametrize("size", [0, -1, True, 2.0, "32"])
def test_a_judge_takes_one_prompt_at_once_at_least(size: object) -> None:
    assert refused(Judge, open=opens, prompts_at_once=size) == (
        f"prompts_at_once is {size!r}; expected a whole number of at least 1"
    )
