"""The names of stages inside and outside of rounds, and where they occur in a stage's options.

Inside a round, the name of an earlier stage of the round means that stage in the same round, and
``previous`` the last model of the round before. After the rounds, a name means the last round's
stage. Only options that refer to stages are changed: the loss ``kto`` stays ``kto``. The word
``round`` of an option that is marked for it becomes the number of the round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from halo_core.component import Component
from halo_core.option_fields import fields_by_alias, interface_kind, marker_of, refers_to
from halo_core.option_markers import PREVIOUS, ROUND, RoundNumber
from halo_core.spec.document import Keys
from halo_core.spec.resolver import Resolver

OUTSIDE_ROUNDS = (
    f"{PREVIOUS!r} is the model of the round before, which only a stage of a round has; leave the "
    "option out for the nearest earlier model"
)
"""The mistake of a stage outside of rounds, or of a spec without rounds (also `rounds: null`)."""


@dataclass(frozen=True)
class Names:
    """The meanings of names in the options of one stage.

    Attributes:
        ids: Maps a name to the id of a stage.
        later: The stage's own name and those of later stages of its round.
        previous: The id of the model that ``previous`` means; None outside of rounds.
        number: The number of the round, from 1; None outside of rounds.
        fixed: Maps the ids of all rounds to the names in the spec, for a stage of a round. Such an
            id would mean the same stage in all rounds.
    """

    ids: Mapping[str, str] = field(default_factory=dict)
    later: Sequence[str] = ()
    previous: str | None = None
    number: int | None = None
    fixed: Mapping[str, str] = field(default_factory=dict)


def renamed(resolver: Resolver, value: Any, keys: Keys, names: Names) -> Any:
    """Returns a stage as written, with the names in its references replaced.

    Args:
        resolver: Finds the classes of components and collects mistakes.
        value: The stage as the spec has it. It is not changed.
        keys: The place of the stage.
        names: The meanings of names in it.
    """
    return _Renamer(resolver, names).component("stage", value, keys)


class _Renamer:
    def __init__(self, resolver: Resolver, names: Names) -> None:
        self._resolver = resolver
        self._names = names

    def component(self, kind: str, value: Any, keys: Keys) -> Any:
        if isinstance(value, list):
            return [self.component(kind, item, (*keys, i)) for i, item in enumerate(value)]
        if kind == "data" and isinstance(value, str):
            return self._data(value, keys)
        component_class = self._resolver.class_of(kind, value)
        # A value without a class has a mistake, which is reported when it is resolved.
        if not isinstance(value, dict) or component_class is None:
            return value
        fields = fields_by_alias(component_class)
        return {
            option: self._option(component_class, option, item, (*keys, option))
            if option in fields
            else item
            for option, item in value.items()
        }

    def _option(self, component_class: type[Component], option: str, value: Any, keys: Keys) -> Any:
        info = fields_by_alias(component_class)[option]
        product, kind = refers_to(info), interface_kind(info)
        if product == "data":
            return self._data(value, keys)
        if product is not None:
            return self._stage(value, keys, product)
        if value == ROUND and marker_of(info, RoundNumber) and self._names.number is not None:
            return self._names.number
        return value if kind is None else self.component(kind, value, keys)

    def _data(self, value: Any, keys: Keys) -> Any:
        if isinstance(value, list):
            return [self._data(item, (*keys, i)) for i, item in enumerate(value)]
        if isinstance(value, dict) and "use" in value:
            return self.component("data", value, keys)
        if isinstance(value, dict):
            return {name: self._data(item, (*keys, name)) for name, item in value.items()}
        if isinstance(value, str) and value in self._names.fixed:
            return self._stage(value, keys, "data")
        if not isinstance(value, str) or value not in {*self._names.ids, *self._names.later}:
            return value
        sets = self._resolver.mistakes.document.tree.get("data")
        if isinstance(sets, dict) and value in sets:
            what = "a data set"
        elif value in self._resolver.registry.names("data"):
            what = "a data source"
        else:
            return self._stage(value, keys, "data")
        problem = f"{value!r} is also {what}, so data: {value} is ambiguous; rename it"
        self._resolver.mistakes.add(("stages", value), problem)
        return value

    def _stage(self, value: Any, keys: Keys, product: str) -> Any:
        if not isinstance(value, str):
            return value
        if value == PREVIOUS and product == "model":
            if self._names.previous is None:
                self._resolver.mistakes.add(keys, OUTSIDE_ROUNDS)
            return self._names.previous or value
        if value in self._names.fixed:
            self._resolver.mistakes.add(keys, self._same_for_all(value))
            return value
        if value in self._names.later:
            self._resolver.mistakes.add(keys, self._not_yet(value, keys, product))
            return value
        return self._names.ids.get(value, value)

    def _same_for_all(self, id_: str) -> str:
        name = self._names.fixed[id_]
        return (
            f"refers to {id_!r}, which would be the same stage for all rounds; expected {name!r} "
            "for that of each round, or a stage from before the rounds"
        )

    def _not_yet(self, name: str, keys: Keys, product: str) -> str:
        which = "itself" if name == keys[1] else f"{name!r}, which comes later in the round"
        advice = "an earlier stage of the round"
        if product == "model":
            advice += f", or {PREVIOUS!r} for the model of the round before"
        return f"refers to {which}; expected {advice}"
