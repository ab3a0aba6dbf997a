"""Prepares a judge, asks it for verdicts or scores, and separates its failures from its replies.

If a judge raises, the run continues, and the error never counts as a result. Every item without an
answer is asked again once, one by one. If the judge raises again, the item is unscored. After many
failures in a row, nothing more is asked. A judge that breaks its interface has a bug and stops the
run.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from halo_core.cache_entry import CacheEntry
from halo_core.errors import HaloError, error_text
from halo_core.guarded.blame import blaming, plugin_error
from halo_core.guarded.judge_calls import Form, ItemT, ReplyT, checked_replies
from halo_core.guarded.stage_calls import check_inputs_of
from halo_core.judge import Judge, JudgeContext
from halo_core.redact import redact
from halo_core.stage import Inputs, StageContext

T = TypeVar("T")
OPTION = "judge"
"""The option of a stage with its judge."""
REASON_LENGTH = 300
"""Maximum number of characters of an error that are kept as the reason."""
PATIENCE = 8
"""Minimum number of failures in a row before giving up, even with one prompt at a time."""


def name_of(judge: Judge) -> str:
    """Returns a judge's name: its name in the spec, without the path of a file.

    >>> from halo_judge.judges.longest import Longest
    >>> name_of(Longest())
    'Longest'
    """
    return judge.spec_name.rpartition(":")[2]


def check_ready(judge: Judge) -> None:
    """Checks that a judge has everything it needs besides its options. Asks nothing.

    Raises:
        UserError: When something is missing.
        PluginError: When the check has a bug: it raises another error, or returns a value.
    """
    with blaming(judge, "check_ready"):
        returned: object = judge.check_ready()  # type: ignore[func-returns-value]
    if returned is not None:
        expected = "expected None: what is missing is raised, as a UserError"
        raise plugin_error(judge, "check_ready", f"returned {returned!r}; {expected}")


def judge_mistakes(judge: Judge, inputs: Inputs) -> list[tuple[str, str]]:
    """Returns (option, message) for each option of a stage's judge that does not fit its inputs.

    Args:
        judge: The judge.
        inputs: The stage's inputs. Models of its judge have dotted names, such as ``judge.from``.
    """
    within = replace(
        inputs, models=_of_judge(inputs.models), there=_of_judge(dict.fromkeys(inputs.there))
    )
    return [(f"{OPTION}.{o}", message) for o, message in check_inputs_of(judge, within)]


def judge_context(context: StageContext) -> JudgeContext:
    """Returns the context of a stage's judge, and creates its folder.

    Args:
        context: The stage's context. Models of its judge have dotted names, such as ``judge.from``.
    """
    folder = context.folder / "judge"
    folder.mkdir(parents=True, exist_ok=True)
    models = _of_judge(context.models)
    return JudgeContext(folder, shared_folder(context.cache), models, context.warn)


@contextmanager
def opened_at_once(opening: AbstractContextManager[T], context: StageContext) -> Iterator[T]:
    """Opens a judge's session, which may load a model for long and keeps nothing yet.

    Args:
        opening: Opens the session.
        context: The stage's context.

    Raises:
        Interrupted: When asked to stop before the session is open.
    """
    with ExitStack() as stack:
        with (
            context.stop.at_once("nothing more was asked; run the same command again to continue"),
            context.progress.phase("preparing the judge"),
        ):
            session = stack.enter_context(opening)
        yield session


def _of_judge(values: Mapping[str, T]) -> dict[str, T]:
    """Returns the values for the judge's options, by the judge's names of the options."""
    prefix = f"{OPTION}."
    return {
        name.removeprefix(prefix): value
        for name, value in values.items()
        if name.startswith(prefix)
    }


def shared_folder(cache: Path) -> Path:
    """Returns the folder in which a workspace keeps paid replies of judges."""
    return cache / "judge"


def paid_replies(cache: Path) -> list[CacheEntry]:
    """Returns the folder of paid replies in a cache, for `halo runs gc`; none if there is none."""
    folder = shared_folder(cache)
    if not folder.is_dir() or folder.is_symlink():
        return []
    used = max(path.stat().st_mtime for path in [folder, *folder.iterdir()])
    lost = "judges that need these replies ask for them again, and they are paid for again"
    return [CacheEntry("paid replies of judges", folder, lost, last_used=used, paid=True)]


def ask(
    judge: Judge,
    session: object,
    form: Form[ReplyT],
    batches: Iterable[Sequence[ItemT]],
    pause: Callable[[], None],
) -> Iterator[ReplyT]:
    """Yields exactly one reply per item, as soon as the judge returns it.

    Args:
        judge: The judge that opened the session.
        session: A session of the kind that `form` names.
        form: `VERDICT_FORM` or `SCORE_FORM`.
        batches: The items to ask, one batch per call. Their ids are unique.
        pause: Function called before an item is asked again. It may raise.

    Raises:
        PluginError: When the judge does not return exactly one reply per item.
        HaloError: When the judge raises one on purpose, for example for a missing key.
    """
    asking = _Asking(judge, getattr(session, form.method), form, pause)
    for batch in batches:
        yield from asking.batch(batch)


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yields items in their order, in batches of a given size.

    >>> list(batches([1, 2, 3], 2))
    [[1, 2], [3]]
    """
    for start in range(0, len(items), size):
        yield items[start : start + size]


class _Asking(Generic[ItemT, ReplyT]):
    """Asks, and counts the items in a row for which the judge raised."""

    def __init__(
        self,
        judge: Judge,
        method: Callable[[Sequence[ItemT]], Any],
        form: Form[ReplyT],
        pause: Callable[[], None],
    ) -> None:
        self._judge = judge
        self._name = name_of(judge)
        self._method = method
        self._form = form
        self._pause = pause
        self._patience = max(PATIENCE, judge.prompts_at_once)
        self._failures = 0
        self._last = ""

    def batch(self, items: Sequence[ItemT]) -> Iterator[ReplyT]:
        """Yields a reply for each item: first for all together, then for each open item alone."""
        waiting = {item.id: item for item in items}
        if not waiting:
            return
        if not self._given_up() and not (yield from self._call(items, waiting)):
            yield from (self._form.unscored(id_, self._nothing()) for id_ in waiting)
            return
        for item in list(waiting.values()):
            if self._given_up():
                yield self._form.unscored(item.id, self._given_up())
            else:
                self._pause()
                yield from self._alone(item)

    def _alone(self, item: ItemT) -> Iterator[ReplyT]:
        waiting = {item.id: item}
        raised = yield from self._call([item], waiting)
        if raised and waiting:
            self._failures += 1
            self._last = raised
        else:
            self._failures = 0
        if waiting:
            yield self._form.unscored(item.id, raised or self._nothing())

    def _call(
        self, items: Sequence[ItemT], waiting: dict[str, ItemT]
    ) -> Generator[ReplyT, None, str]:
        """Yields one call's replies and removes them from `waiting`; returns its error, or ""."""
        try:
            for reply in checked_replies(self._judge, self._method, items, self._form):
                del waiting[reply.id]
                self._failures = 0
                yield reply
        except HaloError:
            raise
        except Exception as error:
            return redact(f"{self._name} raised {error_text(error)}")[:REASON_LENGTH]
        return ""

    def _nothing(self) -> str:
        return f"{self._name} gave no {self._form.reply.__name__.lower()}"

    def _given_up(self) -> str:
        """Returns the reason why nothing more is asked; "" while items are asked."""
        if self._failures < self._patience:
            return ""
        why = f"given up after {self._failures} failures in a row, the last: {self._last}"
        return why[:REASON_LENGTH]
