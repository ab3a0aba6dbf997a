"""Checks that calls of a component leave all else as it is: files, processes, settings, state."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from halo_core.component import Component
from halo_core.testing.component import expect
from halo_core.testing.processes.effects import effects
from halo_core.testing.processes.kept_state import changed_places, kept_by, modules_of


@contextmanager
def only_computes(component: Component, doing: str) -> Iterator[None]:
    """Checks a block of calls of a component that were all called before.

    The first call may import libraries and fill tables. So make these calls before the block too.

    Args:
        component: The component.
        doing: The calls, for the message.

    Raises:
        AssertionError: When the block changes something that the component could keep, writes or
            removes a file, starts a process, connects, or changes a setting of all code.
    """
    with keeps_nothing(component, doing), effects() as found:
        yield
    expect(
        not found.done,
        component,
        f"{doing} {'; '.join(found.done)}; expected it to compute and do nothing else, because it "
        "is called again after a stop, and in several processes",
    )


@contextmanager
def keeps_nothing(component: Component, doing: str) -> Iterator[None]:
    """Checks that a block of calls changes nothing that the component could keep.

    Args:
        component: A component that was called before, which may have filled tables.
        doing: The calls, for the message.

    Raises:
        AssertionError: When it does.
    """
    modules = modules_of(component)
    before = kept_by(component, modules)
    yield
    changed = changed_places(before, kept_by(component, modules))
    expect(
        not changed,
        component,
        f"{doing} changes {', '.join(changed)}; expected it to keep nothing between calls, because "
        "a training that continues after a stop, or in another process, does not have it",
    )


@contextmanager
def does_only(
    component: Component, doing: str, *, inside: Sequence[Path], ignored: Collection[str] = ()
) -> Iterator[None]:
    """Checks that a block writes only in some folders, and changes no setting of all code.

    It may start processes, connect to others, and import libraries.

    Args:
        component: The component.
        doing: The calls in the block, for the message.
        inside: The folders.
        ignored: Beginnings of effects that do not matter.

    Raises:
        AssertionError: When it writes or removes another file, or changes a setting.
    """
    with effects(inside, starts=True, imports=True) as found:
        yield
    done = [each for each in found.done if not each.startswith(tuple(ignored))]
    left = found.left_by(inspect.getsourcefile(type(component)) or "")
    done += [f"leaves the temporary file {each}" for each in left]
    expect(
        not done,
        component,
        f"{doing} {'; '.join(done)}; expected it to leave all else as it is",
    )


__all__ = ["does_only", "keeps_nothing", "only_computes"]
