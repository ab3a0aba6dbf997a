"""Opens judges' sessions with a guard, and checks their replies.

If a judge does not open a session, or replies to something it was not asked, its author made a
mistake, and a `PluginError` names the judge. The same holds if it exits Python. Any other error
that a session raises while it answers is passed on.
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
    """An item or a reply to it. Both have the id of the item."""

    @property
    def id(self) -> str:
        """The item's id in its stage."""
        ...


class Reply(Named, Protocol):
    """A reply, such as a `Verdict` or a `Score`."""

    def fault(self) -> str | None:
        """Returns which of its values is invalid; None if all are valid."""
        ...


ItemT = TypeVar("ItemT", bound=Named)
ReplyT = TypeVar("ReplyT", bound=Reply)


@dataclass(frozen=True)
class Form(Generic[ReplyT]):
    """A kind of session: how it is called and how it replies.

    Attributes:
        opens: The judge's method that opens such a session.
        method: The session's method.
        reply: The class of its replies.
        expected: Description of its replies, for messages.
        unscored: Makes a reply for an item without one, from its id and the reason.
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
    """Opens a session, and closes it at the end of the block.

    Args:
        judge: The judge that opens the session.
        form: The kind of session.
        open_: Calls the method that `form.opens` names.

    Raises:
        PluginError: When the judge raises an unexpected error, or does not open such a session.
    """
    with blaming(judge, form.opens):
        manager: object = open_()
        if not isinstance(manager, AbstractContextManager):
            expected = "expected a context manager that gives a session"
            raise plugin_error(judge, form.opens, f"returned {manager!r}; {expected}")
        # Without `with`: errors of halo's own code while the session is open are not the judge's.
        session = manager.__enter__()
    try:
        if not callable(getattr(session, form.method, None)):
            what = f"gave {session!r}; expected a session that has {form.method}()"
            raise plugin_error(judge, form.opens, what)
        yield session
    except BaseException as error:
        with blaming(judge, form.opens):  # The session must not change the error.
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
    """Yields the replies of a session's method to some items, as they come.

    Args:
        judge: The judge that opened the session.
        method: The session's method that answers.
        items: The items to reply to, with distinct ids.
        form: The kind of session.

    Raises:
        PluginError: When it gives something that is not a reply to an item that is still open, or
            raises `SystemExit`.
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
