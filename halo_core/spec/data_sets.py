"""Resolves data sets: their sources, splits, held-out parts and conversions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from halo_core.data import DataInfo, DataSource
from halo_core.errors import HaloError, UserError
from halo_core.feedback import COLUMNS, Feedback, accepts
from halo_core.guarded.blame import blaming, first_wrong, plugin_error
from halo_core.spec.document import Keys
from halo_core.spec.inserted import absent_conversion, asked_conversion, conversion
from halo_core.spec.resolved import Resolved
from halo_core.spec.resolver import Resolver


@dataclass(frozen=True)
class Part:
    """A share of a source's groups of rows, by their hashes; see `halo_core.run.groups`.

    Attributes:
        side: ``held`` for the share itself, ``rest`` for the others.
        fraction: The share, in (0, 1).
        by: How rows that name no group are grouped; part of identities.
    """

    side: Literal["held", "rest"]
    fraction: float
    by: Literal["opening"] = "opening"


@dataclass(frozen=True)
class Source:
    """One source of a data set, with the split to read.

    Attributes:
        resolved: The data component.
        split: The split to read.
        info: The source's description of itself.
        part: The share of its groups to keep; None to keep all.
        converted: The name of the conversion the runner inserted, if any.
    """

    resolved: Resolved
    split: str
    info: DataInfo
    part: Part | None = None
    converted: str | None = None

    @property
    def component(self) -> DataSource:
        """The data component."""
        return cast(DataSource, self.resolved.component)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Lines for people: how the source is read, and which options have no effect."""
        idle = [option for split, option in self.info.idle if split == self.split]
        if not idle:
            return self.info.read_as
        have = "has" if len(idle) == 1 else "have"
        return (*self.info.read_as, f"{' and '.join(idle)} {have} no effect on {self.split!r}")


@dataclass(frozen=True)
class SetSpec:
    """A data set: a name and its sources."""

    name: str
    sources: tuple[Source, ...]


def resolve_set(resolver: Resolver, name: str, value: Any, keys: Keys) -> SetSpec | None:
    """Returns a data set written as one source or a list of them; None after a mistake."""
    if isinstance(value, list):
        items = [((*keys, i), item) for i, item in enumerate(value)]
    else:
        items = [(keys, value)]
    if not items:
        resolver.mistakes.add(keys, "an empty list; expected at least one source")
        return None
    sources = [_resolve_source(resolver, item, at) for at, item in items]
    if any(source is None for source in sources):
        return None
    return SetSpec(name, tuple(source for source in sources if source is not None))


def _resolve_source(resolver: Resolver, value: Any, keys: Keys) -> Source | None:
    split = "train"
    named = isinstance(value, dict) and "split" in value
    if named:
        split = value["split"]
        value = {k: v for k, v in value.items() if k != "split"}
        if not isinstance(split, str):
            resolver.mistakes.add((*keys, "split"), f"got {split!r}; expected a split's name")
            return None
    resolved = resolver.resolve("data", value, keys)
    if resolved is None:
        return None
    info = _inspect(resolver, resolved, keys)
    if info is None:
        return None
    if info.splits and split not in info.splits:
        if named:
            resolver.mistakes.unknown((*keys, "split"), "split", split, info.splits)
        else:
            resolver.mistakes.add(keys, NO_TRAIN.format(", ".join(info.splits)))
        return None
    return Source(resolved, split, info)


NO_TRAIN = (
    "no split 'train', which is the default; its splits are {}. Name one with split: NAME. "
    "(A file named like test data, such as test or valid, is never read as 'train')"
)
INFO = (
    f"a DataInfo with one of {', '.join(COLUMNS)} or None as its feedback, a tuple of texts as its "
    "splits, a text or None as its digest, tuples of texts as passed_over and read_as, and a tuple "
    "of pairs of texts as idle"
)
"""Description of what `DataSource.inspect` returns, for messages."""


def _inspect(resolver: Resolver, resolved: Resolved, keys: Keys) -> DataInfo | None:
    source, shared = cast(DataSource, resolved.component), resolver.shared
    if shared is not None and (known := shared.info(resolved)) is not None:
        return known
    try:
        with blaming(source, "inspect"):
            info: object = source.inspect()
        fault = _fault(info) if isinstance(info, DataInfo) else repr(info)
        if not isinstance(info, DataInfo) or fault is not None:
            raise plugin_error(source, "inspect", f"returned {fault}; expected {INFO}")
    except HaloError as error:
        resolver.mistakes.take(keys, error)
        return None
    if shared is not None:
        shared.add_info(resolved, info)
    return info


def _fault(info: DataInfo) -> str | None:
    """Returns which of its values is invalid; None if all are valid."""
    splits: object = info.splits
    right = {
        "feedback": info.feedback in (None, *COLUMNS),
        # A text is a sequence of texts, too: 'train' would offer the splits t, r, a, i and n.
        "splits": isinstance(splits, tuple | list) and all(isinstance(s, str) for s in splits),
        "digest": info.digest is None or isinstance(info.digest, str),
        "passed_over": _are_texts(info.passed_over),
        "read_as": _are_texts(info.read_as),
        "idle": isinstance(info.idle, tuple)
        and all(_are_texts(pair) and len(pair) == 2 for pair in info.idle),
    }
    return first_wrong(info, right)


def _are_texts(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, str) for item in value)


def held_out(data: SetSpec, fraction: float) -> tuple[SetSpec, SetSpec]:
    """Splits a set into one without a share of its groups, and a set ``test`` with that share."""
    rest, held = (
        tuple(replace(source, part=Part(side, fraction)) for source in data.sources)
        for side in ("rest", "held")
    )
    return SetSpec(data.name, rest), SetSpec("test", held)


def convert(
    resolver: Resolver, data: SetSpec, wanted: Feedback, who: str, keys: Keys
) -> SetSpec | None:
    """Returns the set with conversions inserted, so that every source has the `wanted` feedback.

    Args:
        resolver: Resolves the conversions.
        data: The set.
        wanted: The kind of feedback that is needed.
        who: The component that needs it, for messages.
        keys: The place in the spec that needs it.
    """
    sources = [
        _convert(resolver, source, wanted, (who, data.name), keys) for source in data.sources
    ]
    if any(source is None for source in sources):
        return None
    return SetSpec(data.name, tuple(source for source in sources if source is not None))


def _convert(
    resolver: Resolver, source: Source, wanted: Feedback, who: tuple[str, str], keys: Keys
) -> Source | None:
    kind = source.info.feedback
    if kind is None or accepts(wanted, kind):
        return source
    loss, name = who
    try:
        wrapper = conversion(resolver.registry, kind, wanted)
    except UserError as error:
        resolver.mistakes.take(keys, error)
        return None
    if wrapper is None:
        told = (
            f"{loss} learns from {wanted} feedback, but the data {name!r} "
            f"({source.resolved.name}) is {kind}"
        )
        advice = "Choose another loss or other data; halo data shows what a source holds"
        if asked := asked_conversion(resolver.registry, kind, wanted):
            advice += (
                f". The conversion {asked} makes {wanted} feedback of these rows: "
                f"{name}: {{use: {asked}, source: {{use: {source.resolved.name}, ...}}}}"
            )
        absent = absent_conversion(resolver.registry, kind, wanted)
        if absent is None:
            resolver.mistakes.add(keys, f"{told}. {advice}")
        else:
            missing = type(absent)(f"{told}, and {absent.message}", location=absent.location)
            resolver.mistakes.take(keys, missing)
        return None
    resolved = resolver.wrapped(wrapper, source.resolved, {}, keys)
    info = None if resolved is None else _inspect(resolver, resolved, keys)
    if resolved is None or info is None:
        return None
    return replace(source, resolved=resolved, info=info, converted=resolved.name)
