"""Checks one registered component: its class, its options, and then the rules of its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from halo_core.check.command_rules import command_rules
from halo_core.check.findings import Finding, State, failed, subject_of
from halo_core.check.kind_rules import rules_of
from halo_core.check.listeners import begin, own_folder
from halo_core.check.options_rules import (
    as_in_a_spec,
    invalid_defaults,
    sample_options,
    unbounded,
    unclear_types,
)
from halo_core.check.places import definition_of, place_of
from halo_core.check.rule import LIMIT, Rule, defined, is_late, quiet, run_rule
from halo_core.check.stage_rules import stage_with
from halo_core.check.surroundings import AFTER, Surroundings
from halo_core.check.wrapping import around_given, wrapped_option, wrapped_rules, wrapper_rule
from halo_core.component import Component, interface_of
from halo_core.data import DataSource
from halo_core.errors import PluginError, UserError, did_you_mean
from halo_core.loss_wrapper import LossWrapper
from halo_core.plugins.import_string import described
from halo_core.plugins.registrar import Registration, words
from halo_core.spec.option_problems import option_problems
from halo_core.stage import Stage
from halo_core.stop_flag import from_outside

OPTION_RULES: Mapping[str, Callable[[type[Component]], list[str]]] = {
    "option-bounds": unbounded,
    "option-types": unclear_types,
    "option-defaults": invalid_defaults,
}
"""The rules for the options of a class, which return a sentence for each fault."""


def check_class(
    registration: Registration,
    cls: object,
    options: Mapping[str, Any],
    *,
    full: bool = False,
    folder: Path | None = None,
) -> Iterator[Finding]:
    """Yields the findings of all rules for a registered class or command.

    Args:
        registration: Its registration.
        cls: The class or command that the registration names.
        options: Options of the component, as a spec would give them.
        full: Whether rules are checked that take minutes.
        folder: The folder that relative paths in options are relative to; the current one if None.

    Raises:
        UserError: When one of the options is unknown or not valid.
        PathError: When an option of a data source names a file that does not exist.
    """
    subject = subject_of(registration)
    wrong = wrong_kind(registration, cls)
    if wrong:
        yield Finding(subject, "kind", "fail", wrong, registration.where)
        return
    yield Finding(subject, "kind", "pass")
    if isinstance(cls, click.Command):
        from halo_core.testing.commands.rules import unchecked_rules_of

        yield from _checked(subject, cls, command_rules(), partial(unchecked_rules_of, cls))
        return
    assert isinstance(cls, type)
    assert issubclass(cls, Component)
    options = as_in_a_spec(cls, options, folder or Path.cwd())
    yield from _of_options(subject, cls)
    if issubclass(cls, LossWrapper):
        try:  # Only its loss is missing.
            cls.model_validate(sample_options(cls) | dict(options))
        except ValidationError as error:
            _check_given(cls, error, options)
        rules = [wrapper_rule(cls, options)]
        left_out = partial(_left_out_by_class, cls)
        yield from _checked(subject, cls, rules, left_out, parts=wrapped_rules())
        return
    yield from _of_class(subject, registration, cls, options, full)


def _of_class(
    subject: str,
    registration: Registration,
    cls: type[Component],
    options: Mapping[str, Any],
    full: bool,
) -> Iterator[Finding]:
    """Yields the findings of the rules for a component of the class."""
    begin("made", LIMIT, definition_of(cls))
    samples = sample_options(cls)
    chosen = samples | dict(options)
    component: Component
    more: Sequence[Rule] = ()
    try:
        if issubclass(cls, DataSource) and wrapped_option(cls) not in ("", *options):
            component, more = around_given(registration, cls, chosen)
        else:
            with quiet():
                component = _made(cls, samples, options)
    except ValidationError as error:
        _check_given(cls, error, options)
        yield _not_built(subject, cls, error, options)
    except UserError as error:
        yield Finding(subject, "made", "skip", _with_place(error), refused=bool(options))
    except BaseException as error:
        if from_outside(error):
            raise
        yield failed(subject, "made", error, cls)
    else:
        rules = list(rules_of(component, registration, full=full))
        if more:  # The rule `wrapping` contains those of the rows and of the digest.
            replaced = {"rows", "digest", *(rule.name for rule in more)}
            rules = [*(rule for rule in rules if rule.name not in replaced), *more]
        yield from _with_copies(subject, component, rules)


def _with_copies(subject: str, component: Component, rules: Sequence[Rule]) -> Iterator[Finding]:
    """Yields the findings of rules; a data source reads copies of the files of its options."""
    if not isinstance(component, DataSource):
        yield from _checked(subject, component, rules, component.unchecked_rules)
        return
    with ExitStack() as stack:
        copied = None
        if begin("files", LIMIT, definition_of(type(component))):
            from halo_core.testing.data.own_copies import own_copies

            with quiet():
                copied = stack.enter_context(own_copies(component))
        mine = copied.source if copied else component
        for each in _checked(subject, mine, rules, mine.unchecked_rules):
            if copied:
                reason, place = copied.told(each.reason), copied.told(each.place)
                each = replace(each, reason=reason, place=place)
            yield each


def _made(
    cls: type[Component], samples: Mapping[str, Any], options: Mapping[str, Any]
) -> Component:
    if issubclass(cls, Stage):
        return stage_with(cls, samples, options)
    return cls.model_validate({**samples, **options})


def _checked(
    subject: str,
    component: object,
    rules: Sequence[Rule],
    unchecked: Callable[[], Mapping[str, str]],
    parts: Sequence[str] = (),
) -> Iterator[Finding]:
    """Yields the findings of rules, and the reasons for those that the author leaves out.

    Args:
        subject: The component, for the findings.
        component: The component, its class, or a command.
        rules: The rules.
        unchecked: Returns the rules that the author leaves out, with the reasons.
        parts: Rules that others contain. The author may leave them out, too.
    """
    of = defined(component)
    left_out: Mapping[str, str] = {}
    try:
        with quiet():
            left_out = dict(unchecked())
    except BaseException as error:
        if from_outside(error):
            raise
        yield failed(subject, "unchecked-rules", error, of)
    known = [*(rule.name for rule in rules), *parts, *OPTION_RULES, *AFTER]
    problem = _unclear(left_out, known)
    if problem:
        yield Finding(subject, "unchecked-rules", "fail", problem, definition_of(of))
        left_out = _with_reason(left_out)
    around = None
    if isinstance(component, Component):  # A command prints, and works in the current folder.
        around = Surroundings(of, own_folder())
    late, broken = "", ""
    for rule in rules:
        if rule.name in left_out:
            yield Finding(subject, rule.name, "skip", f"by its author: {left_out[rule.name]}")
        elif late:
            reason = f"not tried, because {late!r} took too long; it would probably wait, too"
            yield Finding(subject, rule.name, "skip", reason)
        else:
            finding = run_rule(subject, rule, component, around, broken)
            late = rule.name if is_late(finding) else ""
            broken = broken or (rule.name if finding.state == "fail" else "")
            yield finding
    for name in (name for name in parts if name in left_out):
        yield Finding(subject, name, "skip", f"by its author: {left_out[name]}")
    for finding in around.findings(subject, subject.partition(" ")[0]) if around else ():
        if finding.rule in left_out:
            reason = f"by its author: {left_out[finding.rule]}"
            yield Finding(subject, finding.rule, "skip", reason)
        else:
            yield finding


def _with_place(error: UserError) -> str:
    return f"{error.location}: {error.message}" if error.location else error.message


def _unclear(left_out: Mapping[str, str], known: Sequence[str]) -> str:
    """Returns what is wrong with the rules that an author leaves out; "" if nothing is."""
    unknown = sorted(str(name) for name in left_out if name not in known)
    if unknown:
        return f"unchecked_rules names {', '.join(unknown)}; expected some of {', '.join(known)}"
    silent = [name for name in left_out if name not in _with_reason(left_out)]
    if silent:
        return f"unchecked_rules has no reason for {', '.join(silent)}; expected a text, why"
    return ""


def _with_reason(left_out: Mapping[str, str]) -> Mapping[str, str]:
    """Returns the rules that are left out with a reason. The others are checked."""
    given = left_out.items()
    return {name: text for name, text in given if isinstance(text, str) and text.strip()}


def _of_options(subject: str, cls: type[Component]) -> Iterator[Finding]:
    left_out = _left_out_by_class(cls)
    for name, find in OPTION_RULES.items():
        if name in left_out:
            yield Finding(subject, name, "skip", f"by its author: {left_out[name]}")
            continue
        try:
            problems = find(cls)
        except BaseException as error:
            if from_outside(error):
                raise
            yield failed(subject, name, error, cls)
            continue
        if problems:
            told = "; ".join(problems)
            yield Finding(subject, name, "fail", told, place_of(cls, name, told))
        else:
            yield Finding(subject, name, "pass")
    documented = (cls.__doc__ or "").strip()
    if not documented or documented == (interface_of(cls).__doc__ or "").strip():
        reason = "the class has no documentation, which `halo plugins show` prints"
        yield Finding(subject, "documentation", "warn", reason, definition_of(cls))


def _left_out_by_class(cls: type[Component]) -> Mapping[str, str]:
    """Returns the unchecked rules of a class whose options may not be known.

    They may depend on an option without a value. Then no rule is left out here.
    """
    try:
        with quiet():
            return _with_reason(dict(cls.model_construct().unchecked_rules()))
    except Exception:
        return {}


def _check_given(cls: type[Component], error: ValidationError, options: Mapping[str, Any]) -> None:
    """Raises a `UserError` if an error is about options that the user gave."""
    known = [field.alias or name for name, field in cls.model_fields.items()]
    texts = []
    for problem in option_problems(error, options):
        if not problem.place or problem.place[0] not in options:
            continue
        name, place = str(problem.place[0]), ".".join(map(str, problem.place))
        if problem.type == "extra_forbidden" and name not in known:
            texts.append(
                f"unknown option {name!r}.{did_you_mean(name, known)} Known: "
                f"{', '.join(sorted(known))}"
            )
        else:
            texts.append(f"{place}: {problem.message}")
    if texts:
        raise UserError("; ".join(texts), location="--set")


def _not_built(
    subject: str, cls: type[Component], error: ValidationError, options: Mapping[str, Any]
) -> Finding:
    problems = option_problems(error, options)
    places = [".".join(map(str, problem.place)) for problem in problems]
    if all(problem.type == "missing" for problem in problems):
        reason = (
            f"{_options_have(places)} no default, so no component could be made; give a value: "
            f"halo check NAME --set {places[0]}=VALUE"
        )
        return Finding(subject, "made", "skip", reason)
    texts = [
        f"{p or 'the options'}: {each.message}" for p, each in zip(places, problems, strict=True)
    ]
    # Some options exclude each other, so that no default can be valid. Others can be given.
    open_choice = not any(places)
    state: State = "skip" if options or open_choice else "fail"
    advice = "; give options: halo check NAME --set OPTION=VALUE" if open_choice else ""
    return Finding(subject, "made", state, "; ".join(texts) + advice, definition_of(cls))


def _options_have(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"the option {names[0]!r} has"
    return f"the options {', '.join(map(repr, names))} have"


def wrong_kind(registration: Registration, found: object) -> str:
    """Returns what is wrong with a registered target; empty if it is of the registered kind."""
    if registration.kind == "command":
        if isinstance(found, click.Command):
            return ""
        return f"{registration.target} is {described(found)}; expected a click.Command"
    if not (isinstance(found, type) and issubclass(found, Component)):
        return (
            f"{registration.target} is {described(found)}; expected a class of components, as in "
            f"'{registration.target.partition(':')[0]}:MyClass'"
        )
    try:
        interface = interface_of(found)
    except PluginError as error:
        return error.message
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        names = " and ".join(f"{name}()" for name in missing)
        return f"it does not define {names}; help(halo_core.{interface.__name__}) describes this"
    kind = interface.kind
    if words(registration.kind) not in (kind, words(kind)):
        return (
            f"{registration.target} is a {kind}, and it is registered as a "
            f"{words(registration.kind)}; register it with registry.{kind.replace(' ', '_')}(...)"
        )
    return ""
