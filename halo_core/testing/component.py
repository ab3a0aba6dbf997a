"""Checks the promises of every component: its options are frozen plain data, its import cheap."""

from __future__ import annotations

import functools
import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic import ValidationError

from halo_core.component import Component
from halo_core.errors import UserError, error_text
from halo_core.finding import Requirement
from halo_core.supervised import run_supervised
from halo_core.testing.option_values import other_values, with_option
from halo_core.testing.processes import (
    busy_machine,
    effects,
    global_settings,
    import_probe,
    own_calls,
    shifted_clock,
)

ComponentT = TypeVar("ComponentT", bound=Component)


def expect(condition: bool, subject: object, problem: str) -> None:
    """Raises unless a condition holds.

    Args:
        condition: The condition that must be true.
        subject: The component under test.
        problem: A text that says what came and what was expected.

    Raises:
        AssertionError: When `condition` is false.
    """
    if not condition:
        raise AssertionError(f"{subject!r}: {problem}")


@contextmanager
def must_not_raise(subject: object, doing: str) -> Iterator[None]:
    """Turns an exception of the component into a failure that says what was being done.

    Raises:
        AssertionError: When the body raises anything but an AssertionError.
    """
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{subject!r}: {doing} raised {error_text(error)}") from error


HEAVY = (
    "accelerate",
    "datasets",
    "matplotlib",
    "numpy",
    "openai",
    "pandas",
    "pyarrow",
    "scipy",
    "torch",
    "transformers",
)
"""Libraries that a component's module must not import, so that `halo validate` stays fast."""

HELPERS = (global_settings, effects, own_calls, busy_machine, shifted_clock)
"""Modules that the probe loads from their files, each after those that it needs."""

IMPORT_S = 2.0
"""Seconds that the import of a module may take, without the wait for a processor."""

AGAIN_S = 6.0
"""Seconds from which an import is not tried again: two would break the limit of the rule."""


def check_component(component: Component) -> None:
    """Checks the rules for components of every kind.

    Args:
        component: A component with its options.

    Raises:
        AssertionError: When options can be changed, unknown ones are accepted, they do not survive
            JSON, they have no JSON schema, a validator raises an unexpected error, `needed_here`
            gives something else than requirements, or importing the module imports a library of
            `HEAVY` or does something.
    """
    check_rules(component, COMPONENT_CHECKS)


def check_schema(component: Component) -> None:
    """Checks that the options have a JSON schema.

    Raises:
        AssertionError: When they do not.
    """
    with must_not_raise(component, "model_json_schema()"):
        json.dumps(type(component).model_json_schema())


def check_needed_here(component: Component) -> None:
    """Checks that `needed_here` gives requirements.

    Raises:
        AssertionError: When it raises or gives something else.
    """
    with must_not_raise(component, "needed_here()"):
        needed: object = component.needed_here()
    expect(
        isinstance(needed, list | tuple) and all(isinstance(each, Requirement) for each in needed),
        component,
        f"needed_here() gave {needed!r}; expected a list of halo_core.Requirement",
    )


def check_imports(component: Component) -> None:
    """Checks in a fresh interpreter that a component's module imports nothing heavy.

    Raises:
        AssertionError: When it does, or cannot be imported.
    """
    check_import_budget(type(component))


@functools.cache
def check_import_budget(cls: type[Component] | Callable[..., object]) -> None:
    """Checks in a fresh interpreter that importing a module imports nothing heavy and does nothing.

    Args:
        cls: A class or function of the module.

    Raises:
        AssertionError: When it imports a library of `HEAVY`, writes a file, starts a process or a
            thread, connects, prints, changes a setting of all code or a function of another module,
            takes longer than `IMPORT_S`, has a default that is the time of the import, or cannot be
            imported.
    """
    name = cls if isinstance(cls, type) else getattr(cls, "__name__", cls)  # not its address
    told = _told_of_import(cls, name)
    # The first time, the disk may be slow, or Python compiles files.
    if IMPORT_S < told["took"] < AGAIN_S and not told["heavy"]:
        told = min(told, _told_of_import(cls, name), key=lambda each: float(each["took"]))
    expect(
        not told["heavy"],
        name,
        f"importing its module imports {', '.join(told['heavy'])}; import it inside the method "
        "that needs it",
    )
    # Libraries that it imports add filters of warnings.
    does = [each for each in told["does"] if not each.startswith("changes the filters")]
    expect(
        not does,
        name,
        f"importing its module {'; '.join(does)}; expected it to define things only, because every "
        "command that names it imports it",
    )
    expect(
        told["took"] <= IMPORT_S,
        name,
        f"importing its module takes {told['took']:.1f} s; expected less than {IMPORT_S:g} s, "
        "because every command that names it waits for it",
    )
    expect(
        not told["moving"],
        name,
        f"the default of {', '.join(told['moving'])} is another one at each import of the module, "
        "such as the time of the import; use None, and compute it when it is used",
    )


def _told_of_import(cls: type[Component] | Callable[..., object], name: object) -> dict[str, Any]:
    """Returns what a fresh interpreter says about the import of a module."""
    asked = {
        "module": cls.__module__,
        "file": inspect.getfile(cls),
        "path": sys.path,
        "heavy": HEAVY,
        "helpers": {each.__name__.rpartition(".")[2]: each.__file__ for each in HELPERS},
    }
    # With a supervisor, because a process that the import starts would keep the pipes open.
    probe = run_supervised(
        [sys.executable, str(import_probe.__file__), json.dumps(asked)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    last = last_line(probe.stderr)
    expect(probe.returncode == 0, name, f"its module cannot be imported alone: {last}")
    told: dict[str, Any] = json.loads(probe.stdout.splitlines()[-1])
    return told


def last_line(said: str) -> str:
    r"""Returns the last line of what a process printed, without pydantic's link to its manual.

    >>> last_line("beta\n  expected a number\n    For further information visit x")
    'expected a number'
    """
    lines = [line.strip() for line in said.splitlines()]
    told = [line for line in lines if line and not line.startswith("For further information")]
    return told[-1] if told else "it printed nothing"


def check_frozen(component: Component) -> None:
    """Checks that no option can be changed.

    Raises:
        AssertionError: When one can.
    """
    for name in type(component).model_fields:
        try:
            setattr(component, name, getattr(component, name))
        except ValidationError:
            continue
        expect(False, component, f"option {name!r} can be changed; expected model_config frozen")


def check_unknown_options(component: Component) -> None:
    """Checks that an unknown option is refused.

    Raises:
        AssertionError: When it is taken.
    """
    options, components = as_spec(component)
    try:
        type(component).build(json.dumps({**options, "no_such_option": 1}), components)
    except ValidationError:
        return
    expect(False, component, "it takes an unknown option; expected model_config extra='forbid'")


def check_options_as_json(component: Component) -> None:
    """Checks that the options survive JSON, as in a spec.

    Raises:
        AssertionError: When the component built again from them is another one.
    """
    options, components = as_spec(component)
    with must_not_raise(component, f"building it again from its options {options}"):
        again = type(component).build(json.dumps(options), components)
    expect(again == component, component, f"its options through JSON give another one: {again!r}")


def check_option_values(component: Component) -> None:
    """Checks that other values of the options are taken, or refused with an error of pydantic.

    These are values within the declared bounds, one option at a time.

    Raises:
        AssertionError: When a validator raises something else than a `ValueError` or an error of
            the user.
    """
    for alias, value in other_values(component):
        try:
            with_option(component, alias, value)
        except (ValidationError, UserError):
            continue
        except Exception as error:
            raise AssertionError(
                f"{component!r}: with {alias}={value!r}, making it raised {type(error).__name__}: "
                f"{error}; expected a component, or a ValueError that says what is wrong"
            ) from error


COMPONENT_CHECKS: Sequence[Callable[[Component], None]] = (
    check_frozen,
    check_unknown_options,
    check_options_as_json,
    check_schema,
    check_option_values,
    check_needed_here,
    check_imports,
)
"""The checks of `check_component`."""


def rule_name(check: Callable[..., None]) -> str:
    """Returns the name of the rule that a function of this kit checks.

    >>> rule_name(check_unknown_options)
    'unknown-options'
    """
    return check.__name__.removeprefix("check_").replace("_", "-")


Checks = Iterable[Callable[[ComponentT], None]] | Mapping[str, Callable[[ComponentT], None]]
"""Functions of this kit, or functions by the names of their rules."""


def check_rules(component: ComponentT, checks: Checks[ComponentT]) -> None:
    """Runs checks on a component, without those that its `unchecked_rules` names.

    Args:
        component: The component.
        checks: The checks.

    Raises:
        AssertionError: At the first rule that is broken.
    """
    left_out = component.unchecked_rules()
    named = checks if isinstance(checks, Mapping) else {rule_name(each): each for each in checks}
    for name, check in named.items():
        if name not in left_out:
            check(component)


def as_spec(component: Component) -> tuple[dict[str, Any], dict[str, Component]]:
    """Returns JSON options, and the components in them by their keys, for `Component.build`."""
    held: dict[str, Component] = {}

    def keyed(value: Any, dumped: Any) -> Any:
        if isinstance(value, Component):
            key = f"component {len(held)}"
            held[key] = value
            return key
        if isinstance(value, list | tuple):
            return [keyed(v, d) for v, d in zip(value, dumped, strict=True)]
        if isinstance(value, dict):
            return {k: keyed(v, dumped[k]) for k, v in value.items()}
        return dumped

    fields = type(component).model_fields
    dumped = component.model_dump(mode="json")
    options = {
        field.alias or name: keyed(getattr(component, name), dumped[name])
        for name, field in fields.items()
    }
    return options, held
