"""The value functions (`value`) that losses declare, for losses that are named or in a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from halo_core.errors import HaloError, SpecErrors, UserError
from halo_core.loss import Loss
from halo_core.plugins.discovery import discover
from halo_core.spec.document import Document, apply_overrides, parse_value
from halo_core.spec.mistakes import Mistakes
from halo_core.spec.resolved import Resolved
from halo_core.spec.resolver import Resolver
from halo_core.stop_flag import from_outside
from halo_report.values.sampled import SampledValue, Value, sample_value


@dataclass(frozen=True)
class ImpliedValue:
    """The value function that a loss assumes people have.

    Attributes:
        label: Label in figures: the loss's name and the options that were set.
        name: The loss's canonical name.
        options: All its options, with defaults.
        function: Function from gain to value; None if the loss declares none.
    """

    label: str
    name: str
    options: Mapping[str, Any]
    function: Value | None

    def sampled(self, span: float) -> SampledValue | None:
        """Returns the function on a grid from ``-span`` to ``span``, or None without a function."""
        return None if self.function is None else sample_value(self.function, span, self.label)


def named_values(losses: Sequence[str], overrides: Mapping[str, str]) -> list[ImpliedValue]:
    """Returns the value functions of losses as the command line names them.

    Args:
        losses: Losses in the form ``NAME`` or ``{use: NAME, ...options}``.
        overrides: YAML texts by ``NAME.OPTION``. For a ``file:``, NAME is the class's name.

    Raises:
        SpecErrors: With every mistake in names and options.
    """
    trees = [parse_value(text) if text.startswith("{") else {"use": text} for text in losses]
    own: list[dict[str, str]] = [{} for _ in trees]
    errors: list[HaloError] = []
    for path, text in overrides.items():
        hits = [i for i, tree in enumerate(trees) if path.startswith(f"{_short(tree)}.")]
        if not hits:
            known = ", ".join(dict.fromkeys(_short(tree) for tree in trees))
            reason = f"expected LOSS.OPTION=VALUE with a loss of this call: {known}"
            errors.append(UserError(reason, location=f"--set {path}={text}"))
        for i in hits:
            own[i][path.removeprefix(f"{_short(trees[i])}.")] = text
    values = []
    for tree, options in zip(trees, own, strict=True):
        resolved = _resolve(tree, options, Path.cwd(), "halo inspect", errors)
        if resolved is not None:
            values.append(implied_value(resolved))
    if errors:
        raise SpecErrors(errors, "the losses")
    return _with_own_labels(values)


def loss_value(label: str, tree: Mapping[str, Any]) -> ImpliedValue | None:
    """Returns the value function of a loss with a label; None if the loss is not installed.

    Args:
        label: The label in figures.
        tree: The loss as written in a spec.
    """
    resolved = _resolve(dict(tree), {}, Path.cwd(), label, [])
    return None if resolved is None else replace(implied_value(resolved), label=label)


def run_values(resolved_spec: str) -> list[ImpliedValue]:
    """Returns the value functions of the losses in a run's resolved spec, each once.

    Losses that are no longer installed, or declare no value function, are left out.

    Args:
        resolved_spec: The text of ``spec.resolved.yaml``.
    """
    tree = parse_value(resolved_spec) or {}
    values: dict[str, ImpliedValue] = {}
    for stage in (tree.get("stages") or {}).values():
        for resolved in _losses(stage):
            value = implied_value(resolved)
            if value.function is not None:
                values.setdefault(json.dumps([value.name, value.options], sort_keys=True), value)
    return _with_own_labels(list(values.values()))


def _losses(stage: Any) -> Iterator[Resolved]:
    """Yields the losses among a stage's options, whatever the options' names are."""
    options = stage.values() if isinstance(stage, dict) else ()
    for value in options:
        # A component of another kind may have the name of a loss, but not its options.
        if isinstance(value, dict) and "use" in value:
            resolved = _resolve(value, {}, Path.cwd(), "the run's spec", [])
            if resolved is not None:
                yield resolved


def implied_value(resolved: Resolved) -> ImpliedValue:
    """Returns the value function of a resolved loss, if it declares one."""
    component, options = resolved.component, resolved.tree()
    del options["use"]
    function = _declared(component) if isinstance(component, Loss) else None
    defaults = {
        name: info.get_default(call_default_factory=True, validated_data={})
        for name, info in type(component).model_fields.items()
        if not info.is_required()
    }
    given = ", ".join(
        f"{name} {value}"
        for name, value in options.items()
        if not isinstance(value, dict | list) and value != defaults.get(name)
    )
    wrapped = [child for _, child in resolved.children() if isinstance(child.component, Loss)]
    name = resolved.short_name
    if wrapped:
        name += f"({', '.join(implied_value(child).label for child in wrapped)})"
    label = f"{name} ({given})" if given else name
    return ImpliedValue(label, resolved.name, options, function)


def _declared(loss: Loss) -> Value | None:
    """Returns a loss's value function; None if it has none.

    A function that raises is also returned, because the error is reported when it is evaluated.
    """
    try:
        if loss.value(0.0) is None:
            return None
    except BaseException as error:
        if from_outside(error):
            raise
        pass
    return cast(Value, loss.value)


def _resolve(
    tree: Any, options: Mapping[str, str], folder: Path, where: str, errors: list[HaloError]
) -> Resolved | None:
    """Returns the loss, or adds its errors and returns None."""
    document = Document(where, folder, tree if isinstance(tree, dict) else {"use": tree})
    mistakes = Mistakes(document)
    try:
        apply_overrides(document, options)
        resolved = Resolver(discover(), mistakes).resolve("loss", document.tree, ())
        mistakes.raise_if_any("the losses")
    except SpecErrors as error:
        errors.extend(error.errors)
        return None
    return resolved


def _short(tree: Any) -> str:
    return str(tree.get("use") if isinstance(tree, dict) else tree).rpartition(":")[2]


def _with_own_labels(values: list[ImpliedValue]) -> list[ImpliedValue]:
    """Returns the values with unique labels. A repeated label gets a number."""
    seen: dict[str, int] = {}
    labelled = []
    for value in values:
        count = seen[value.label] = seen.get(value.label, 0) + 1
        label = value.label if count == 1 else f"{value.label} #{count}"
        labelled.append(ImpliedValue(label, value.name, value.options, value.function))
    return labelled
