"""The texts of a display about a run. Each of them has its label."""

from __future__ import annotations

from collections.abc import Iterator

from halo_core.display.view import BarView, View
from halo_core.printing import visible


def time_text(seconds: float) -> str:
    """Returns a duration as text.

    >>> time_text(0.4), time_text(151), time_text(7260), time_text(180_000)
    ('0 s', '2 min 31 s', '2 h 01 min', '2 d 02 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def place_text(view: View) -> str:
    """Returns which stage of which run it is: ``stage 7 of 10, kto``."""
    stage = f"stage {view.place} of {view.stages}, {view.stage}" if view.place else ""
    return visible(": ".join(filter(None, [view.title, stage])))


def head_text(view: View) -> str:
    """Returns which stage it is and what runs in it: ``stage 7 of 10, kto (train)``."""
    place = place_text(view)
    return visible(f"{place} ({view.use})") if view.use and view.use != view.stage else place


def count_text(bar: BarView) -> str:
    """Returns the count of a bar: ``step 47 of 100``; "" if only its label is known."""
    if bar.total is None:
        return f"{bar.unit or 'number'} {bar.done:,}" if bar.done else ""
    return f"{bar.unit} {bar.done:,} of {bar.total:,}".strip()


def phase_text(bar: BarView, now: float) -> str:
    """Returns the label and the count of a phase: ``encoding train: row 200 of 3,967``."""
    count = count_text(bar) or f"for {time_text(now - bar.began)}"
    return visible(f"{bar.label}: {count}")


def fact_texts(view: View) -> list[str]:
    """Returns the facts of the work, each with its label: ``loss 0.432``."""
    facts = view.work.facts if view.work is not None else {}
    return [visible(f"{label.replace('_', ' ')} {text}") for label, text in facts.items()]


def time_texts(view: View, now: float) -> Iterator[str]:
    """Yields the time that the stage has taken, and what is left of the stage and of the run."""
    left = None if view.work is None else view.work.left(now)
    if not view.place:
        if view.work is not None:
            yield f"left {_about(left)}"
        return
    yield f"stage running {time_text(max(0.0, now - view.began))}"
    yield f"left of the stage {_about(left)}"
    yield f"left of the run {_run_left(view, left)}"


def _about(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"about {time_text(seconds)}"


def _run_left(view: View, left: float | None) -> str:
    later = view.later
    known = (left or 0.0) + later.seconds
    lacking = later.unknown + (left is None)
    if not lacking:
        return _about(known)
    if not known:
        return "unknown"
    what = "1 stage" if lacking == 1 else f"{lacking} stages"
    return f"at least {time_text(known)} (unknown for {what})"


def plain_texts(view: View, now: float) -> list[str]:
    """Returns all facts about a run; the first one says where it is."""
    does = []
    if view.phase is not None:
        does.append(phase_text(view.phase, now))
    if view.work is not None:
        does.append(count_text(view.work))
    texts = [*filter(None, does), *fact_texts(view), *time_texts(view, now)]
    place = place_text(view)
    if not place or not texts:
        return [text for text in (place, *texts) if text]
    return [f"{place}: {texts[0]}", *texts[1:]]


def plain_line(view: View, now: float) -> str:
    """Returns all facts as one line, for a file or a terminal without a cursor."""
    return ", ".join(plain_texts(view, now))


def last_line(view: View) -> str:
    """Returns the place and the last facts of work that ended, as one line."""
    if view.work is None:
        return place_text(view)
    texts = [count_text(view.work), *fact_texts(view)]
    place = place_text(view) or visible(view.work.label)
    return f"{place}: {', '.join(filter(None, texts))}"
