"""Cards of prompts with answers side by side: changed words, verdicts and filters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import escape

from halo_core.feedback import Prompt
from halo_report.pages.page_parts import Badge, Card, Column, Filter, Samples
from halo_report.pages.word_marks import Marked, marked_words, plain
from halo_statistics.win_rate import Result

MOST_BYTES = 3_000_000
"""Largest size of the texts on all cards of a page, so that a page has at most 5 MB."""
MARK = len("<mark></mark>")
CHANGES: Mapping[str, tuple[Result, Result]] = {"won": ("loss", "win"), "lost": ("win", "loss")}
"""Results before and after, by filter."""


@dataclass(frozen=True)
class Answer:
    """A completion of a prompt.

    Attributes:
        text: The text.
        tokens: Its length, or None.
        finish: Why it ended (``stop``, ``length``), or "".
        badges: The verdicts on it.
    """

    text: str
    tokens: int | None = None
    finish: str = ""
    badges: Sequence[Badge] = ()


@dataclass(frozen=True)
class Author:
    """A model, or the target, with its answers.

    Attributes:
        title: Its name.
        answers: Its answers by prompt id, in order.
        results: The result of each answer by prompt id, if it was judged.
    """

    title: str
    answers: Mapping[str, Answer]
    results: Mapping[str, Result] = field(default_factory=dict)


def answer_cards(
    prompts: Mapping[str, Prompt],
    shown: Sequence[Author],
    further: Sequence[Author],
    pair: tuple[Author, Author] | None,
    count: int,
) -> Samples | None:
    """Returns the first prompts of each filter, in order; they are not picked. None if empty.

    Args:
        prompts: The messages by prompt id, in the order of the cards.
        shown: The authors side by side. Prompts that one of them lacks are left out, except that
            some prompts may have no target.
        further: More authors, whose answers are folded.
        pair: The authors before and after, whose words are compared; None compares nothing.
        count: Largest number of cards for each filter.
    """
    needed = pair or shown
    common = [id_ for id_ in prompts if all(id_ in author.answers for author in needed)]
    kinds = _kinds(common, pair)
    chosen: dict[str, set[str]] = {}
    for kind, ids in kinds.items():
        for id_ in ids[:count]:
            chosen.setdefault(id_, set()).add(kind)
    cards: list[Card] = []
    room = MOST_BYTES
    for id_ in sorted(chosen, key=common.index):
        card = _card(id_, prompts[id_], shown, further, pair, frozenset(chosen[id_]))
        room -= _size(card)
        if room < 0:
            break
        cards.append(card)
    if not chosen:
        return None
    return Samples(cards, _filters(kinds, cards, pair), _note(len(chosen) - len(cards)))


def _size(card: Card) -> int:
    """Returns the bytes of a card's texts on the page, with escapes and marks."""
    columns = (*card.columns, *card.further)
    texts = [column.text for column in columns]
    texts += [str(message["content"]) for message in card.prompt]
    marks = sum(piece.changed for column in columns for piece in column.pieces)
    return sum(len(escape(text).encode("utf-8")) for text in texts) + MARK * marks


def _kinds(ids: Sequence[str], pair: tuple[Author, Author] | None) -> dict[str, list[str]]:
    """Returns the prompts of each filter."""
    kinds = {"all": list(ids)}
    if pair is None:
        return kinds
    before, after = pair
    for kind, (old, new) in CHANGES.items():
        kinds[kind] = [
            id_ for id_ in ids if before.results.get(id_) == old and after.results.get(id_) == new
        ]
    kinds["same"] = [id_ for id_ in ids if before.answers[id_].text == after.answers[id_].text]
    return kinds


def _filters(
    kinds: Mapping[str, Sequence[str]],
    cards: Iterable[Card],
    pair: tuple[Author, Author] | None,
) -> list[Filter]:
    if pair is None:
        return []
    before, after = (author.title for author in pair)
    labels = {
        "all": "all prompts",
        "won": f"{before} lost, {after} won",
        "lost": f"{before} won, {after} lost",
        "same": "the same answer",
    }
    shown = {kind: sum(kind in card.kinds for card in cards) for kind in kinds}
    return [
        Filter(kind, f"{labels[kind]}: {_of(shown[kind], len(ids))}")
        for kind, ids in kinds.items()
        if ids
    ]


def _of(shown: int, known: int) -> str:
    return str(known) if shown == known else f"first {shown} of {known}"


def _note(left_out: int) -> str:
    order = "The prompts are in the order of sampling; they are not picked."
    if not left_out:
        return order
    return f"{order} {left_out} more are left out, so that the page stays below 5 MB."


def _card(
    id_: str,
    prompt: Prompt,
    shown: Sequence[Author],
    further: Sequence[Author],
    pair: tuple[Author, Author] | None,
    kinds: frozenset[str],
) -> Card:
    marked = marked_words(*(author.answers[id_].text for author in pair)) if pair else None
    return Card(
        prompt=prompt,
        columns=[_column(author, id_, pair, marked) for author in shown if id_ in author.answers],
        further=[_column(author, id_, None, None) for author in further if id_ in author.answers],
        kinds=kinds,
    )


def _column(
    author: Author, id_: str, pair: tuple[Author, Author] | None, marked: Marked | None
) -> Column:
    answer = author.answers[id_]
    pieces, remark = plain(answer.text), ""
    if pair and marked:
        before, after = pair
        if author is before:
            pieces = list(marked.before)
        elif author is after:
            pieces, remark = list(marked.after), marked.remark
    return Column(author.title, pieces, answer.tokens, answer.finish, answer.badges, remark)
