"""The key `rounds`: stages that a spec writes once and that run several times.

    rounds: {n: 2, stages: [draw, labels, kto]}

Before anything is resolved, the stages become ``draw-1, labels-1, kto-1, draw-2, labels-2, kto-2``.
The expanded spec is the one that somebody would write by hand, so it has the same identities.
`round_references` says what a name means in which stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from halo_core.component import Component
from halo_core.option_markers import PREVIOUS
from halo_core.spec.document import Document, Keys, RoundStage
from halo_core.spec.mistakes import Mistakes, unknown_name
from halo_core.spec.resolver import Resolver
from halo_core.spec.round_references import Names, renamed
from halo_core.spec.stages import StageSpec
from halo_core.stage import Stage

KEY = "rounds"
MOST_ROUNDS = 100
_FORM = "{n: 2, stages: [draw, labels, kto]}"
_OPTIONS = ("n", "stages", "from")


@dataclass(frozen=True)
class Rounds:
    """The rounds of a spec.

    Attributes:
        n: Number of rounds.
        stages: The ids of the stages of a round, as the spec has them.
        start: The id of the model that the first round starts from.
        trained: The id of the last stage of a round that makes a model.
    """

    n: int
    stages: Sequence[str]
    start: str
    trained: str

    def id_of(self, name: str, number: int) -> str:
        """Returns the id of a stage in a round: ``kto-2``."""
        return f"{name}-{number}"

    def previous(self, number: int) -> str:
        """Returns the id of the model that ``previous`` means in a round."""
        return self.start if number == 1 else self.id_of(self.trained, number - 1)

    def starts(self, classes: Mapping[str, type[Component] | None]) -> dict[str, str]:
        """Returns what a left-out model of the first round's stages is, by the stage's id.

        Args:
            classes: The classes of the stages. Those after the first that makes a model are left
                out, since they use that model.
        """
        starts = {}
        for name in self.stages:
            starts[self.id_of(name, 1)] = self.start
            if makes_model(classes[name]):
                break
        return starts


def expand_rounds(
    resolver: Resolver, base_model: str
) -> tuple[Document, Rounds | None, dict[str, str]]:
    """Returns the document with the stages of all rounds, the rounds, and the models they start at.

    Args:
        resolver: Finds the classes of stages and collects mistakes. The stages of its document are
            a mapping.
        base_model: The id that means the model of the spec.

    Returns:
        The document, the rounds if any, and the id of the model that ``previous`` means by the id
        of each stage of the first round that has no earlier model in its round. After a mistake
        in the rounds, the stages are those of the spec, so that their own mistakes are found too.
    """
    document = resolver.mistakes.document
    if document.tree.get(KEY) is None:
        return document, None, {}
    before = resolver.mistakes.count
    classes = {
        name: resolver.class_of("stage", value) for name, value in document.tree["stages"].items()
    }
    rounds = _Reader(resolver.mistakes, classes, base_model).read(document.tree[KEY])
    if rounds is not None:
        expanded = _expanded(document, resolver, rounds, classes)
        if resolver.mistakes.count == before:
            return expanded, rounds, rounds.starts(classes)
    anywhere = Names(previous=base_model)
    stages = {
        name: renamed(resolver, value, ("stages", name), anywhere)
        for name, value in document.tree["stages"].items()
    }
    return replace(document, tree={**document.tree, "stages": stages}), None, {}


def check_rounds(rounds: Rounds, stages: Sequence[StageSpec], mistakes: Mistakes) -> None:
    """Adds a mistake if the second round uses nothing of the first, so that all are the same."""
    if rounds.n == 1:
        return
    first, second = ({rounds.id_of(name, n) for name in rounds.stages} for n in (1, 2))
    for stage in stages:
        used = {*stage.models.values(), *stage.inputs.values(), *stage.feedback_from}
        if stage.id in second and used & first:
            return
    mistakes.add(
        (KEY,),
        "all rounds would be the same, since none uses the model of the round before; write "
        f"from: {PREVIOUS}, or leave from out",
    )


def makes_model(stage_class: type[Component] | None) -> bool:
    """Returns whether a class is that of a stage that makes a model."""
    return stage_class is not None and cast(type[Stage], stage_class).produces == "model"


def _expanded(
    document: Document,
    resolver: Resolver,
    rounds: Rounds,
    classes: Mapping[str, type[Component] | None],
) -> Document:
    written: Mapping[str, Any] = document.tree["stages"]
    order = list(written)
    first = order.index(rounds.stages[0])
    stages: dict[str, Any] = {}

    def add(name: str, id_: str, names: Names) -> None:
        stages[id_] = renamed(resolver, written[name], ("stages", name), names)

    fixed = {
        rounds.id_of(name, number): name
        for number in range(1, rounds.n + 1)
        for name in rounds.stages
    }
    # A stage before the rounds cannot use their models. Its names stay as they are written.
    for name in order[:first]:
        add(name, name, Names())
    for number in range(1, rounds.n + 1):
        for place, name in enumerate(rounds.stages):
            earlier, later = rounds.stages[:place], rounds.stages[place:]
            here = {other: rounds.id_of(other, number) for other in earlier}
            previous = rounds.previous(number)
            names = Names(here, tuple(later), previous, number, fixed)
            add(name, rounds.id_of(name, number), names)
    last = {name: rounds.id_of(name, rounds.n) for name in rounds.stages}
    for name in order[first + len(rounds.stages) :]:
        add(name, name, Names(last))
    made = {
        rounds.id_of(name, number): RoundStage(number, name)
        for number in range(1, rounds.n + 1)
        for name in rounds.stages
    }
    tree = {key: value for key, value in document.tree.items() if key != KEY}
    return replace(document, tree={**tree, "stages": stages}, made=made, before=document.tree)


class _Reader:
    """Reads the block `rounds` and collects its mistakes.

    Args:
        mistakes: Collects the mistakes.
        classes: The classes of all stages by id, in order; None for a stage with a mistake.
        base_model: The id that means the model of the spec.
    """

    def __init__(
        self, mistakes: Mistakes, classes: Mapping[str, type[Component] | None], base_model: str
    ) -> None:
        self._mistakes = mistakes
        self._classes = classes
        self._base_model = base_model
        self._order = list(classes)

    def read(self, given: Any) -> Rounds | None:
        """Returns the rounds; None after a mistake."""
        before = self._mistakes.count
        if not isinstance(given, dict):
            what = "a list; a spec has one block of rounds" if isinstance(given, list) else given
            self._add((), f"got {what}; expected {_FORM}")
            return None
        for key in given:
            if key not in _OPTIONS:
                self._mistakes.unknown_key((KEY, key), "key", _OPTIONS)
        n = self._number(given)
        stages = self._stages(given)
        if stages is None:
            return None
        self._check_names(stages, n)
        start = self._start(given, stages)
        trained = [name for name in stages if makes_model(self._classes[name])]
        # A stage whose class is not known has a mistake that is reported when it is resolved.
        if not trained and None not in (self._classes[name] for name in stages):
            problem = "no stage of the round trains a model; expected at least one {use: train}"
            self._add(("stages",), problem)
        if self._mistakes.count > before or not trained:
            return None
        return Rounds(n, stages, start, trained[-1])

    def _number(self, given: Mapping[str, Any]) -> int:
        n = given.get("n")
        if isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= MOST_ROUNDS:
            return n
        expected = f"expected the number of rounds, from 1 to {MOST_ROUNDS}"
        if "n" in given:
            self._add(("n",), f"got {n!r}; {expected}")
        else:
            self._mistakes.missing((KEY,), ["n"], f"'n' is missing; {expected}", at=(KEY,))
        return 1

    def _stages(self, given: Mapping[str, Any]) -> list[str] | None:
        stages = given.get("stages")
        if not isinstance(stages, list) or not stages:
            expected = "expected the ids of stages, as in [draw, labels, kto]"
            if "stages" in given:
                self._add(("stages",), f"got {stages!r}; {expected}")
            else:
                what = f"'stages' is missing; {expected}"
                self._mistakes.missing((KEY,), ["stages"], what, at=(KEY,))
            return None
        before = self._mistakes.count
        for place, name in enumerate(stages):
            if problem := self._problem_of(name, stages[:place]):
                self._add(("stages", place), problem)
        if self._mistakes.count > before:
            return None
        return stages if self._is_consecutive(stages) else None

    def _problem_of(self, name: Any, earlier: Sequence[Any]) -> str:
        removed = self._mistakes.document.removed
        if not isinstance(name, str):
            return f"got {name!r}; expected the id of a stage"
        if name in earlier:
            return f"the stage {name!r} is given twice; keep one"
        if name in removed:
            return f"the stage {name!r} is removed by {removed[name]}"
        return "" if name in self._classes else unknown_name("stage", name, self._order)

    def _is_consecutive(self, stages: Sequence[str]) -> bool:
        first = self._order.index(stages[0])
        for place, name in enumerate(stages):
            found = self._order.index(name)
            if found == first + place:
                continue
            if found < first + place:
                ordered = ", ".join(sorted(stages, key=self._order.index))
                problem = f"{name!r} is written before {stages[place - 1]!r}; expected {ordered}"
            else:
                between = self._order[first + place]
                problem = (
                    f"the stage {between!r} is written between {stages[place - 1]!r} and {name!r}; "
                    "expected stages that follow one another: list it too, or move it"
                )
            self._add(("stages", place), problem)
            return False
        return True

    def _check_names(self, stages: Sequence[str], n: int) -> None:
        for name in stages:
            for number in range(1, n + 1):
                if (made := f"{name}-{number}") in self._classes:
                    self._mistakes.add(
                        ("stages", made),
                        f"the id {made!r} is that of {name!r} in round {number}; rename this stage,"
                        f" or write the options of all rounds to {name!r}",
                    )
        if PREVIOUS in self._classes:
            problem = f"with rounds, the id {PREVIOUS!r} means the model of the round before"
            self._mistakes.add(("stages", PREVIOUS), f"{problem}; rename this stage")

    def _start(self, given: Mapping[str, Any], stages: Sequence[str]) -> str:
        before = self._order[: self._order.index(stages[0])]
        models = [self._base_model, *(n for n in before if makes_model(self._classes[n]))]
        if "from" not in given:
            return models[-1]
        start = given["from"]
        # A stage whose class is not known has a mistake that is reported when it is resolved.
        if start not in models and not (start in before and self._classes[start] is None):
            known = f"a model from before the rounds: {', '.join(models)}"
            self._add(("from",), f"got {start!r}; expected {known}")
        return str(start)

    def _add(self, keys: Keys, message: str) -> None:
        self._mistakes.add((KEY, *keys), message)
