"""The sessions that judges open, guarded, and what they reply, checked.

A judge that opens something else than a session, or replies something else than it was asked, is a
fault of its author: a `PluginError` that blames it. So is one that ends Python; whatever else a
session raises while it answers passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from halo_core.component import Component
from halo_core.errors import PluginError
from halo_core.guarded.blame import blaming, blaming_exit, plugin_error


class Named(Protocol):
    """What is asked, and what is replied: both carry the id of the item."""

    @property
    def id(self) -> str:
        """Names the item within its stage."""
        ...


class Reply(Named, Protocol):
    """A reply, such as a `Verdict` or a `Score`."""

    def fault(self) -> str | None:
        """Returns which of its values cannot be; None where all can."""
        ...


ItemT = TypeVar("ItemT", bound=Named)
ReplyT = TypeVar("ReplyT", bound=Reply)


@dataclass(frozen=True)
class Form(Generic[ReplyT]):
    """What a session is asked with, and what it gives.

    Attributes:
        opens: The judge's method that opens such a session.
        method: The session's method.
        reply: The class of its replies.
        expected: What it should give, for messages.
        unscored: Makes the reply to an item that has none, of its id and the reason.
    """

    opens: str
    method: str
    reply: type[ReplyT]
    expected: str
    unscored: Callable[[str, str], ReplyT]


@contextmanager
def opened(
    judge: Component, form: Form[Any], open_: Callable[[], AbstractContextManager[Any]]
) -> Iterator[Any]:
    """Opens a session, and closes it on leaving.

    Args:
        judge: Who is opened.
        form: What kind of session it should be.
        open_: Calls the method that `form.opens` names.

    Raises:
        PluginError: When the judge raises by accident, or opens no such session.
    """
    with blaming(judge, form.opens):
        manager: object = open_()
        if not isinstance(manager, AbstractContextManager):
            expected = "expected a context manager that gives a session"
            raise plugin_error(judge, form.opens, f"returned {manager!r}; {expected}")
        # No `with`: what our own code raises while the session is open is not the judge's fault.
        session = manager.__enter__()
    try:
        if not callable(getattr(session, form.method, None)):
            what = f"gave {session!r}; expected a session that has {form.method}()"
            raise plugin_error(judge, form.opens, what)
        yield session
    except BaseException as error:
        with blaming(judge, form.opens):  # What the session makes of an error changes nothing.
            manager.__exit__(type(error), error, error.__traceback__)
        raise
    with blaming(judge, form.opens):
        manager.__exit__(None, None, None)


def checked_replies(
    judge: Component,
    method: Callable[[Sequence[ItemT]], object],
    items: Sequence[ItemT],
    form: Form[ReplyT],
) -> Iterator[ReplyT]:
    """Yields what a method of a session gives on some items, as it comes.

    Args:
        judge: Who opened the session.
        method: The session's method that answers.
        items: What it is asked, with ids of their own.
        form: What it should give.

    Raises:
        PluginError: When it gives something that is no reply to one of the items that wait for one,
            or raises `SystemExit`.
    """

    def wrong(came: str) -> PluginError:
        what = f"gave {came}; expected {form.expected}"
        return plugin_error(judge, form.method, what, function=method)

    waiting = {item.id for item in items}
    with blaming_exit(judge, form.method):
        replies = method(items)
        if not isinstance(replies, Iterable):
            raise wrong(repr(replies))
        for reply in replies:
            if not isinstance(reply, form.reply):
                raise wrong(repr(reply))
            if fault := reply.fault():
                raise wrong(fault)
            if reply.id not in waiting:
                raise wrong(f"a {form.reply.__name__} of {reply.id!r}, which waits for none")
            waiting.remove(reply.id)
            yield reply


__all__ = ["Form", "ItemT", "Named", "Reply", "ReplyT", "checked_replies", "opened"]
