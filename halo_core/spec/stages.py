"""Resolves stages: their options, and the models, data and outputs that they use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from halo_core.component import Component
from halo_core.errors import HaloError, PluginError, nearest
from halo_core.guarded.blame import blaming, class_place
from halo_core.guarded.stage_calls import feedback_given_of, feedback_wanted_of, mistakes_of
from halo_core.option_fields import (
    MarkerT,
    fields_by_alias,
    marked,
    marker_of,
    refers_to,
    values_by_alias,
)
from halo_core.option_markers import PREVIOUS, Default, Refers
from halo_core.spec.data_sets import SetSpec, convert, resolve_set
from halo_core.spec.document import Keys
from halo_core.spec.mistakes import unknown_name
from halo_core.spec.resolved import Resolved
from halo_core.spec.resolver import Resolver
from halo_core.spec.round_references import OUTSIDE_ROUNDS
from halo_core.spec.stage_feedback import feedback_of, stages_in
from halo_core.stage import Stage
from halo_core.stage_options import roles_of

BASE_MODEL = "model"
AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True)
class StageSpec:
    """A stage and its connections.

    Attributes:
        id: Its id in the spec.
        resolved: The stage component.
        models: Maps an option to the id of the stage whose model it uses; `BASE_MODEL` for the
            spec's model. Options of components inside the stage are dotted: ``judge.from``.
        inputs: Maps an option to the id of the stage whose samples or verdicts it uses.
        data: Maps an option (``data``, ``evaluate.NAME``) to its data set with conversions.
        roles: Maps an option to its role in the stage (``learn``, ``loss``); see `roles_of`.
    """

    id: str
    resolved: Resolved
    models: Mapping[str, str]
    inputs: Mapping[str, str]
    data: Mapping[str, SetSpec]
    roles: Mapping[str, str]

    @property
    def component(self) -> Stage:
        """The stage component."""
        return cast(Stage, self.resolved.component)

    def role(self, option: str) -> str | None:
        """Returns the role of an option: ``learn`` for ``data``, None for no role.

        Args:
            option: An option as in `models`, `inputs` or `data`. An entry of a mapping
                (``evaluate.NAME``) has the mapping's role.
        """
        return self.roles.get(option.partition(".")[0])

    @property
    def start(self) -> str | None:
        """The id of the stage whose model it starts from or samples from."""
        starts = [id_ for option, id_ in self.models.items() if self.role(option) == "start"]
        return starts[0] if starts else None

    @property
    def learned(self) -> Mapping[str, SetSpec]:
        """The data sets that it learns from, by option."""
        return {name: data for name, data in self.data.items() if self.role(name) == "learn"}

    @property
    def loss(self) -> Resolved | None:
        """The loss among its options."""
        return loss_of(self.resolved)

    @property
    def feedback_from(self) -> list[str]:
        """The ids of the stages whose feedback is in its data."""
        sources = [source for data in self.data.values() for source in data.sources]
        return list(dict.fromkeys(id_ for source in sources for id_ in stages_in(source)))


def loss_of(resolved: Resolved) -> Resolved | None:
    """Returns the loss among the options of a stage, whatever the option is called."""
    children = (child for _, child in resolved.children())
    return next((child for child in children if child.registration.kind == "loss"), None)


def resolve_stages(
    resolver: Resolver,
    given: Mapping[str, Any],
    sets: Mapping[str, SetSpec | None],
    made_by: str = "",
    starts: Mapping[str, str] | None = None,
) -> list[StageSpec]:
    """Returns the stages in order, without those that have a mistake.

    Args:
        resolver: Resolves components and collects mistakes.
        given: The stages as written in the spec, by id, in order.
        sets: The data sets by name; None for a set with a mistake.
        made_by: The key under ``model:`` that holds the stage `BASE_MODEL` in the spec.
        starts: The models that stages use by default, by id, if not the nearest earlier ones.
    """
    products: dict[str, str | None] = {}
    if BASE_MODEL not in given:
        products[BASE_MODEL] = "model"
    stages = []
    for id_, value in given.items():
        keys: Keys = ("model", made_by) if id_ == BASE_MODEL else ("stages", id_)
        errors = resolver.mistakes.errors
        before, located = len(errors), {error.location for error in errors}
        start = (starts or {}).get(id_)
        stage = _Wiring(resolver, id_, keys, products, sets, start).resolve(value)
        # The line of a stage is resolved in each round. Its mistake is reported for the first.
        errors[before:] = [e for e in errors[before:] if e.location not in located]
        # None for a stage with a mistake, so that a reference to it is not reported as unknown.
        products[id_] = stage.component.produces if stage else None
        if stage is not None and id_ == BASE_MODEL and products[id_] != "model":
            problem = f"{made_by} is registered with makes_base_model, and makes {products[id_]}"
            resolver.mistakes.take(
                keys, PluginError(problem, location=class_place(type(stage.component)))
            )
        if stage is not None:
            stages.append(stage)
            _offer_feedback(resolver, stage, keys, sets)
    return stages


def _offer_feedback(
    resolver: Resolver, stage: StageSpec, keys: Keys, sets: Mapping[str, SetSpec | None]
) -> None:
    """Lets later stages use the feedback of a stage as data, by its id."""
    if stage.component.produces != "feedback":
        return
    try:
        feedback = feedback_given_of(stage.component)
    except HaloError as error:
        resolver.mistakes.take(keys, error)
        return
    if stage.id in sets or stage.id in resolver.registry.names("data"):
        what = "a data set" if stage.id in sets else "a data source"
        resolver.mistakes.add(
            keys, f"{stage.id!r} is also {what}, so data: {stage.id} is ambiguous; rename it"
        )
    else:
        resolver.feedback[stage.id] = feedback_of(stage.id, feedback)


class _Wiring:
    """Connects one stage to the stages before it."""

    def __init__(
        self,
        resolver: Resolver,
        id_: str,
        keys: Keys,
        products: Mapping[str, str | None],
        sets: Mapping[str, SetSpec | None],
        start: str | None = None,
    ) -> None:
        self.resolver = resolver
        self.mistakes = resolver.mistakes
        self.id = id_
        self.keys = keys
        self.products = products
        self.sets = sets
        self.start = start

    def resolve(self, value: Any) -> StageSpec | None:
        before = self.mistakes.count
        if isinstance(value, dict) and "use" not in value:
            if not self.resolver.misspelt_use(value, self.keys):
                self.mistakes.add(self.keys, f"'use' is missing: {self._missing_use()}")
            return None
        resolved = self.resolver.resolve("stage", value, self.keys)
        if resolved is None:
            self._check_names(value)
            return None
        stage = cast(Stage, resolved.component)
        for option, message in self._asked(mistakes_of, stage) or ():
            self.mistakes.add((*self.keys, option), message)
        models = self._models(stage) | self._models_within(resolved)
        inputs = self._inputs(stage)
        data = self._data(resolved)
        if self.mistakes.count > before:
            return None
        return StageSpec(self.id, resolved, models, inputs, data, roles_of(type(stage)))

    def _missing_use(self) -> str:
        """Returns advice, with the stage that may be meant, since ``--set`` creates a new one."""
        document = self.mistakes.document
        others = [id_ for id_ in (*document.given["stages"], *document.removed) if id_ != self.id]
        near = nearest(self.id, others)
        guess = f". Did you mean the stage {near[0]!r}?" if near else ""
        return f"the name of a stage, as in use: train{guess}"

    def _check_names(self, value: Any) -> None:
        """Reports wrong references even if the stage itself has a mistake."""
        stage_class = self.resolver.class_of("stage", value) if isinstance(value, dict) else None
        if stage_class is None:
            return
        for option, info in fields_by_alias(stage_class).items():
            name, reference = value.get(option), marker_of(info, Refers)
            if reference is None or not isinstance(name, str):
                continue
            if name in self.products or name in reference.also:
                continue
            if reference.product != "data":
                known = self._names(self.products)
                self.mistakes.unknown((*self.keys, option), "stage", name, known)
            elif name not in self.sets:
                self.mistakes.unknown((*self.keys, option), "data set", name, self._data_names())

    def _asked(self, call: Callable[[Stage], AnswerT], stage: Stage) -> AnswerT | None:
        """Returns the stage's answer; adds a mistake and returns None if the call fails."""
        try:
            return call(stage)
        except HaloError as error:
            self.mistakes.take(self.keys, error)
            return None

    def _models(self, stage: Stage) -> dict[str, str]:
        named = dict(_references(stage, "model"))
        models = {o: n for o, n in named.items() if n is not None and self._known(o, n, "model")}
        empty = [option for option, name in named.items() if name is None]
        defaults = {option: _marked(stage, option, Default) for option in empty}
        # Defaults that follow another option come last: that option may itself be left out.
        for option, default in sorted(defaults.items(), key=lambda item: _is_of_option(item[1])):
            name = None if default is None else self._left_out(stage, default, models)
            if name is not None and self._known(option, name, "model"):
                models[option] = name
        return {option: models[option] for option in named if option in models}

    def _left_out(self, stage: Stage, default: Default, models: Mapping[str, str]) -> str | None:
        """Returns the default id of a model option that is left out; None for no model."""
        if default.when is not None and not self._is_true(stage, default.when):
            return None
        return models.get(default.of) if _is_of_option(default) else self._previous()

    def _is_true(self, stage: Stage, attribute: str) -> bool:
        def ask(stage: Stage) -> bool:
            with blaming(stage, attribute):
                return bool(getattr(stage, attribute))

        return bool(self._asked(ask, stage))

    def _models_within(self, resolved: Resolved) -> dict[str, str]:
        """Returns the models that components inside the stage name. None of them is a default."""
        return {
            ".".join(map(str, (*keys, option))): value
            for keys, child in resolved.within()
            for option, value in _references(child.component, "model")
            if value is not None and self._known(option, value, "model", keys)
        }

    def _previous(self) -> str:
        if self.start is not None:
            return self.start
        models = [id_ for id_, product in self.products.items() if product == "model"]
        return models[-1] if models else BASE_MODEL

    def _inputs(self, stage: Stage) -> dict[str, str]:
        return {
            option: name
            for product in ("samples", "verdicts")
            for option, name in _references(stage, product)
            if name not in (None, *(also := _also(stage, option)))
            and self._known(option, name, product, also=also)
        }

    def _known(
        self,
        option: str,
        name: str,
        product: str,
        within: Keys = (),
        also: Sequence[str] = (),
    ) -> bool:
        keys = (*self.keys, *within, option)
        if name in self.mistakes.document.removed:
            remover = self.mistakes.document.removed[name]
            self.mistakes.add(keys, f"the stage {name!r} is removed by {remover}")
            return False
        if name == PREVIOUS and product == "model" and name not in self.products:
            self.mistakes.add(keys, OUTSIDE_ROUNDS)
            return False
        if name not in self.products:
            fitting = [id_ for id_, made in self.products.items() if made == product]
            known = [*self._names(fitting), *also]
            self.mistakes.add(keys, unknown_name("earlier stage", name, known))
            return False
        if self.products[name] not in (product, None):
            shown = self.mistakes.document.name_in(self.id, name) or name
            message = f"the stage {shown!r} makes {self.products[name]}; expected {product}"
            self.mistakes.add(keys, message)
            return False
        return True

    def _data(self, resolved: Resolved) -> dict[str, SetSpec]:
        stage = cast(Stage, resolved.component)
        wanted = self._asked(feedback_wanted_of, stage) or {}
        who = (loss_of(resolved) or resolved).name
        data_sets = {}
        for option, value in _references(stage, "data"):
            keys = (*self.keys, *option.split("."))
            data = self._set(value, keys)
            if data is None:
                continue
            kind = wanted.get(option, wanted.get(option.partition(".")[0]))
            converted = convert(self.resolver, data, kind, who, keys) if kind else data
            if converted is not None:
                data_sets[option] = converted
        return data_sets

    def _set(self, value: Any, keys: Keys) -> SetSpec | None:
        if value is None:
            return None
        if isinstance(value, str):
            return self._named(value, keys)
        if isinstance(value, tuple):  # the option is `tuple[LearnRef, ...]`
            value = list(value)
        name = ".".join(map(str, keys[1:]))
        if not isinstance(value, list) or not any(map(self._is_set, value)):
            return resolve_set(self.resolver, name, value, keys)
        parts = [self._part(item, (*keys, i), name) for i, item in enumerate(value)]
        sources = [source for part in parts if part is not None for source in part.sources]
        return None if None in parts else SetSpec(name, tuple(sources))

    def _is_set(self, item: Any) -> bool:
        """Returns whether an item of a list names a data set, and not a data source."""
        known = isinstance(item, str) and item in self.sets
        return known and item not in self.resolver.registry.names("data")

    def _part(self, item: Any, keys: Keys, name: str) -> SetSpec | None:
        return (
            self.sets[item] if self._is_set(item) else resolve_set(self.resolver, name, item, keys)
        )

    def _named(self, name: str, keys: Keys) -> SetSpec | None:
        if name in self.resolver.feedback:
            return resolve_set(self.resolver, name, name, keys)
        if name in self.sets:
            return self.sets[name]
        if name not in self.products and name not in self.mistakes.document.removed:
            self.mistakes.unknown(keys, "data set", name, self._data_names())
        else:
            self._known(str(keys[-1]), name, "feedback", keys[len(self.keys) : -1])
        return None

    def _data_names(self) -> list[str]:
        """Returns the names that `data` accepts: data sets, and earlier stages with feedback."""
        return [*self.sets, *self._names(self.resolver.feedback)]

    def _names(self, ids: Iterable[str]) -> list[str]:
        """Returns the names that this stage has for other stages."""
        names = [self.mistakes.document.name_in(self.id, id_) for id_ in ids]
        return [name for name in names if name is not None]


def _references(stage: Component, product: str) -> Iterator[tuple[str, Any]]:
    """Yields the options that are references, with the names they refer to, mappings flattened."""
    values = values_by_alias(stage)
    fields = fields_by_alias(type(stage))
    for alias in marked(type(stage), Refers):
        if refers_to(fields[alias]) != product:
            continue
        value = values[alias]
        if isinstance(value, dict) and product == "data" and "use" not in value:
            yield from ((f"{alias}.{name}", item) for name, item in value.items())
        else:
            yield alias, value


def _marked(stage: Component, option: str, marker: type[MarkerT]) -> MarkerT | None:
    return marker_of(fields_by_alias(type(stage))[option], marker)


def _also(stage: Component, option: str) -> tuple[str, ...]:
    reference = _marked(stage, option, Refers)
    return reference.also if reference else ()


def _is_of_option(default: Default | None) -> bool:
    """Returns whether a default follows another option of the stage."""
    return default is not None and default.of != PREVIOUS
