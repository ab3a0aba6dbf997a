"""Resolves stages: their options, and what they take from the model, the data and each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from halo_core.blame import blaming
from halo_core.component import Component
from halo_core.errors import HaloError, PluginError, nearest
from halo_core.option_fields import fields_by_alias, refers_to
from halo_core.spec.components import Resolved, Resolver
from halo_core.spec.document import Keys
from halo_core.spec.mistakes import unknown_name
from halo_core.spec.sources import SetSpec, convert, resolve_set
from halo_core.spec.stage_feedback import feedback_of, stages_in
from halo_core.stage import Stage

BASE_MODEL = "model"
TARGET = "target"


@dataclass(frozen=True)
class StageSpec:
    """A stage and what it is connected to.

    Attributes:
        id: Its id in the spec.
        resolved: The stage component.
        models: Option to the id of the stage whose model it takes; `BASE_MODEL` for the model.
            Those of components within the stage are dotted: ``judge.from``.
        inputs: Option to the id of the stage whose samples or verdicts it takes.
        data: Option (``data``, ``evaluate.NAME``) to the data set, conversions inserted.
    """

    id: str
    resolved: Resolved
    models: Mapping[str, str]
    inputs: Mapping[str, str]
    data: Mapping[str, SetSpec]

    @property
    def component(self) -> Stage:
        """The stage component."""
        return cast(Stage, self.resolved.component)

    @property
    def feedback_from(self) -> list[str]:
        """The ids of the stages whose feedback is in its data."""
        sources = [source for data in self.data.values() for source in data.sources]
        return list(dict.fromkeys(id_ for source in sources for id_ in stages_in(source)))


def resolve_stages(
    resolver: Resolver, given: Mapping[str, Any], sets: Mapping[str, SetSpec | None]
) -> list[StageSpec]:
    """Returns the stages in order; those with a mistake are left out.

    Args:
        resolver: Resolves components and collects mistakes.
        given: Stage id to what the spec says of it, in order.
        sets: The data sets by name; None for one that has a mistake.
    """
    products: dict[str, str | None] = {}
    if BASE_MODEL not in given:
        products[BASE_MODEL] = "model"
    stages = []
    for id_, value in given.items():
        keys: Keys = ("model", "scratch") if id_ == BASE_MODEL else ("stages", id_)
        stage = _Wiring(resolver, id_, keys, products, sets).resolve(value)
        products[id_] = stage.component.produces if stage else None
        if stage is not None:
            stages.append(stage)
            _offer_feedback(resolver, stage, keys, sets)
    return stages


def _offer_feedback(
    resolver: Resolver, stage: StageSpec, keys: Keys, sets: Mapping[str, SetSpec | None]
) -> None:
    """Lets later stages take the feedback of a stage as data, by its id."""
    if stage.component.produces != "feedback":
        return
    feedback = stage.component.feedback_given()
    if feedback is None:
        message = f"{stage.resolved.name} makes feedback, but feedback_given() returned None"
        origin = stage.resolved.registration.origin
        resolver.mistakes.take(keys, PluginError(message, location=origin))
    elif stage.id in sets or stage.id in resolver.registry.names("data"):
        what = "a data set" if stage.id in sets else "a data source"
        resolver.mistakes.add(
            keys, f"{stage.id!r} is {what} too, so data: {stage.id} could mean both; rename it"
        )
    else:
        resolver.feedback[stage.id] = feedback_of(stage.id, feedback)


class _Wiring:
    """Connects one stage to what came before it."""

    def __init__(
        self,
        resolver: Resolver,
        id_: str,
        keys: Keys,
        products: Mapping[str, str | None],
        sets: Mapping[str, SetSpec | None],
    ) -> None:
        self.resolver = resolver
        self.mistakes = resolver.mistakes
        self.id = id_
        self.keys = keys
        self.products = products
        self.sets = sets

    def resolve(self, value: Any) -> StageSpec | None:
        before = len(self.mistakes.errors)
        if isinstance(value, dict) and "use" not in value:
            self.mistakes.add(self.keys, f"'use' is missing: {self._missing_use()}")
            return None
        resolved = self.resolver.resolve("stage", value, self.keys)
        if resolved is None:
            self._check_names(value)
            return None
        resolved = self._with_defaults(resolved)
        if resolved is None:
            return None
        stage = cast(Stage, resolved.component)
        for option, message in self._call(resolved, "mistakes"):
            self.mistakes.add((*self.keys, option), message)
        models = self._models(stage) | self._models_within(resolved)
        inputs = self._inputs(stage)
        data = self._data(resolved)
        if len(self.mistakes.errors) > before:
            return None
        return StageSpec(self.id, resolved, models, inputs, data)

    def _missing_use(self) -> str:
        """Returns what to do, and the stage that may have been meant: ``--set`` makes a new one."""
        document = self.mistakes.document
        others = [id_ for id_ in (*document.tree["stages"], *document.removed) if id_ != self.id]
        near = nearest(self.id, others)
        guess = f". Did you mean the stage {near[0]!r}?" if near else ""
        return f"the name of a stage, as in use: train{guess}"

    def _check_names(self, value: Any) -> None:
        """Reports references that lead nowhere even though the stage itself has a mistake."""
        if not isinstance(value, dict):
            return
        for option in ("data", "prompts"):
            name = value.get(option)
            if isinstance(name, str) and not {name} & {*self.sets, *self.products}:
                self.mistakes.unknown((*self.keys, option), "data set", name, self._data_names())
        for option in ("from", "reference", "of"):
            name = value.get(option)
            if isinstance(name, str) and name not in self.products:
                self.mistakes.unknown((*self.keys, option), "stage", name, self.products)

    def _with_defaults(self, resolved: Resolved) -> Resolved | None:
        added = self._call(resolved, "defaults")
        if not added:
            return resolved
        options = {**resolved.options, **added, "use": resolved.name}
        return self.resolver.resolve("stage", options, self.keys)

    def _call(self, resolved: Resolved, method: str) -> Any:
        """Calls a method of the plugin's stage, guarded."""
        try:
            with blaming(resolved.component, method):
                return getattr(resolved.component, method)()
        except HaloError as error:
            self.mistakes.take(self.keys, error)
            return {}

    def _models(self, stage: Stage) -> dict[str, str]:
        found: dict[str, str] = {}
        defaults = stage.model_defaults()
        for option, value in _references(stage, "model"):
            name = value or defaults.get(option)
            if name == "previous":
                name = self._previous()
            elif name == "from":
                name = found.get("from", self._previous())
            if name is not None and self._known(option, name, "model"):
                found[option] = name
        return found

    def _models_within(self, resolved: Resolved) -> dict[str, str]:
        """Returns the models that components within the stage name; none is a default."""
        return {
            ".".join(map(str, (*keys, option))): value
            for keys, child in resolved.within()
            for option, value in _references(child.component, "model")
            if value is not None and self._known(option, value, "model", keys)
        }

    def _previous(self) -> str:
        models = [id_ for id_, product in self.products.items() if product == "model"]
        return models[-1] if models else BASE_MODEL

    def _inputs(self, stage: Stage) -> dict[str, str]:
        return {
            option: value
            for option, value in _references(stage, "samples")
            if value is not None and value != TARGET and self._known(option, value, "samples")
        }

    def _known(self, option: str, name: str, product: str, within: Keys = ()) -> bool:
        keys = (*self.keys, *within, option)
        if name in self.mistakes.document.removed:
            remover = self.mistakes.document.removed[name]
            self.mistakes.add(keys, f"the stage {name!r} is removed by {remover}")
            return False
        if name not in self.products:
            fitting = [id_ for id_, made in self.products.items() if made == product]
            fitting += [TARGET] if option == "against" else []
            self.mistakes.add(keys, unknown_name("earlier stage", name, fitting))
            return False
        if self.products[name] not in (product, None):
            message = f"the stage {name!r} makes {self.products[name]}; expected {product}"
            self.mistakes.add(keys, message)
            return False
        return True

    def _data(self, resolved: Resolved) -> dict[str, SetSpec]:
        stage = cast(Stage, resolved.component)
        wanted = self._call(resolved, "feedback_wanted")
        loss = resolved.options.get("loss")
        who = f"{loss.name}" if isinstance(loss, Resolved) else resolved.name
        found = {}
        for option, value in _references(stage, "data"):
            keys = (*self.keys, *option.split("."))
            data = self._set(value, keys)
            if data is None:
                continue
            kind = wanted.get(option, wanted.get(option.partition(".")[0]))
            converted = convert(self.resolver, data, kind, who, keys) if kind else data
            if converted is not None:
                found[option] = converted
        return found

    def _set(self, value: Any, keys: Keys) -> SetSpec | None:
        if value is None:
            return None
        if isinstance(value, str):
            return self._named(value, keys)
        name = ".".join(map(str, keys[1:]))
        if not isinstance(value, list) or not any(map(self._is_set, value)):
            return resolve_set(self.resolver, name, value, keys)
        parts = [self._part(item, (*keys, i), name) for i, item in enumerate(value)]
        sources = [source for part in parts if part is not None for source in part.sources]
        return None if None in parts else SetSpec(name, tuple(sources))

    def _is_set(self, item: Any) -> bool:
        """Returns whether an item of a list is the name of a set and of no data source."""
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
        """Returns what `data` may name: the sets, and the stages so far that make feedback."""
        return [*self.sets, *self.resolver.feedback]


def _references(stage: Component, product: str) -> Iterator[tuple[str, Any]]:
    """Yields the options that name something, with what they name, mappings flattened."""
    aliases = {info.alias or name: name for name, info in type(stage).model_fields.items()}
    for alias, info in fields_by_alias(type(stage)).items():
        if refers_to(info) != product:
            continue
        value = getattr(stage, aliases[alias])
        if isinstance(value, dict) and product == "data" and "use" not in value:
            yield from ((f"{alias}.{name}", item) for name, item in value.items())
        else:
            yield alias, value
