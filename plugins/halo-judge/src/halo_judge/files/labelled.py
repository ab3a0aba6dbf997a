"""Reads comparisons with people's labels from LLMBar, PandaLM, AlpacaEval or plain files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from pathlib import Path
from typing import Any

from halo_core.errors import DataError, PathError
from halo_core.feedback import Prompt, prompt_id
from halo_core.workspace.json_files import near_names, not_a_file, objects
from halo_judge.files.output_pairs import number_prompts
from halo_judge.files.outputs import FileRow, beside_of, instruction_of, prompt_of
from halo_judge.judge_stage.duels import Duel
from halo_statistics import Result

Choice = Result
"""A person's label of the first text: ``"win"``, ``"loss"`` or ``"tie"``; never unscored."""

NO_TEXT = "a text is missing or is not a text"
NO_LABEL = "no label"
_ANNOTATOR = re.compile(r"annotator\d+")
_EXPECTED = (
    "expected output_1, output_2 and label (LLMBar) or preference (AlpacaEval); response1, "
    "response2 and annotator1 to annotatorN (PandaLM); or prompt, a, b and label or labels"
)


@dataclass(frozen=True)
class Labelled:
    """A comparison with people's labels.

    Attributes:
        duel: The comparison. Its completion is the first text in the file.
        labels: The label of each annotator.
    """

    duel: Duel
    labels: Mapping[str, Choice]

    @property
    def majority(self) -> Choice | None:
        """Returns the most frequent label; None if two labels are equally frequent."""
        return majority_of(list(self.labels.values()))


def majority_of(choices: Sequence[Choice]) -> Choice | None:
    """Returns the choice that is more frequent than any other; None if there is none.

    >>> majority_of(["win", "tie", "win"]), majority_of(["win", "tie"])
    ('win', None)
    """
    counts = Counter(choices).most_common(2)
    if not counts or (len(counts) > 1 and counts[0][1] == counts[1][1]):
        return None
    return counts[0][0]


@dataclass(frozen=True)
class Rated:
    """People's labels of a comparison, including comparisons whose texts cannot be judged.

    Attributes:
        prompt_id: Id of the prompt.
        labels: The label of each annotator.
    """

    prompt_id: str
    labels: Mapping[str, Choice]


@dataclass(frozen=True)
class LabelledFile:
    """The content of a file of labelled comparisons.

    Attributes:
        path: The file.
        name: The file's name without its ending.
        comparisons: The comparisons in the order of the file.
        rated: People's labels of all rows, including rows that are left out for their texts.
        dropped: Numbers of left-out rows by reason.
    """

    path: Path
    name: str
    comparisons: Sequence[Labelled]
    rated: Sequence[Rated]
    dropped: Mapping[str, int]


def read_labelled(given: str) -> LabelledFile:
    """Returns the labelled comparisons of a file.

    ==========  ==============================  =========================================
    form        texts                           labels
    ==========  ==============================  =========================================
    LLMBar      `output_1`, `output_2`          `label`: 1 or 2
    AlpacaEval  `output_1`, `output_2`          `preference`: from 1 to 2, draw 1.5 or 0
    PandaLM     `response1`, `response2`        `annotator1`, ...: 1, 2, or 0 for a tie
    halo        `a`, `b`                        `label` or `labels`: a, b or tie
    ==========  ==============================  =========================================

    The prompt is `instruction` and `input`, or `prompt`. Rows of the first two forms that repeat
    a comparison are further annotators' labels (`annotator_index` or `annotator` names them).

    Args:
        given: A ``.jsonl`` or ``.json`` file, also ``.gz``.

    Raises:
        PathError: When there is no such file.
        DataError: When a row has another form, a label is out of range, or there are no rows.
    """
    path = Path(given).expanduser()
    if path.is_dir():
        raise PathError("this is a folder; expected a file of labelled comparisons", location=given)
    if not path.exists():
        raise PathError(f"there is no such file.{near_names(path)}", location=given)
    if problem := not_a_file(path):
        raise PathError(problem, location=given)
    dropped = Counter[str]()
    pairs: dict[object, _Pair] = {}
    textless: list[_Pair] = []
    for number, row in objects(path):
        pair = _pair(row, f"{path}:{number}")
        if not pair.usable:
            dropped[NO_TEXT] += 1
            textless.append(pair)
        elif not pair.labels:
            dropped[NO_LABEL] += 1
        else:
            key = pair.key if pair.repeats else number
            _add(pairs.setdefault(key, replace(pair, labels={})), pair)
    if not pairs:
        counted = ", ".join(f"{n} left out: {why}" for why, n in dropped.items())
        raise DataError(
            f"no labelled comparison in it ({counted or 'it is empty'})", location=str(path)
        )
    name = re.sub(r"\.jsonl?(\.gz)?$", "", path.name)
    rated = [Rated(p.prompt_id, p.labels) for p in [*pairs.values(), *textless]]
    return LabelledFile(path, name, _comparisons(list(pairs.values())), rated, dropped)


@dataclass(frozen=True)
class _Pair:
    prompt: Prompt
    a: Any
    b: Any
    labels: dict[str, Choice]
    repeats: bool = False
    beside: Mapping[str, Any] = field(default_factory=dict)
    """The columns `tools`, `a_fields` and `b_fields` of the row."""

    @property
    def prompt_id(self) -> str:
        return prompt_id(self.prompt, self.beside.get("tools"))

    @property
    def usable(self) -> bool:
        return isinstance(self.a, str) and isinstance(self.b, str)

    @property
    def key(self) -> object:
        return self.prompt_id, self.a, self.b


def _add(of_texts: _Pair, pair: _Pair) -> None:
    for annotator, choice in pair.labels.items():
        free = annotator
        while free in of_texts.labels:
            free = f"{annotator} ({len(of_texts.labels) + 1})"
        of_texts.labels[free] = choice


def _comparisons(pairs: Sequence[_Pair]) -> list[Labelled]:
    ids = number_prompts(pair.prompt_id for pair in pairs)
    return [Labelled(_duel(id_, pair), pair.labels) for id_, pair in zip(ids, pairs, strict=True)]


def _duel(id_: str, pair: _Pair) -> Duel:
    beside = [pair.beside.get(name) for name in ("tools", "a_fields", "b_fields")]
    return Duel(id_, pair.prompt, pair.a, pair.b, None, None, *beside)


def _pair(row: FileRow, place: str) -> _Pair:
    if "output_1" in row and "output_2" in row and ("label" in row or "preference" in row):
        key, read = ("label", _number) if "label" in row else ("preference", _preference)
        label = read(row[key], key, place)
        who = str(row.get("annotator_index", row.get("annotator", key)))
        labels = {} if label is None else {who: label}
        return _Pair(
            instruction_of(row, place), row["output_1"], row["output_2"], labels, repeats=True
        )
    if "response1" in row and "response2" in row and (annotators := _annotators(row)):
        labels = _labels({annotator: row[annotator] for annotator in annotators}, _with_ties, place)
        return _Pair(instruction_of(row, place), row["response1"], row["response2"], labels)
    if {"prompt", "a", "b"} <= row.keys() and ("label" in row or "labels" in row):
        labels = _labels(_plain(row, place), _word, place)
        beside = beside_of(row, ("a_fields", "b_fields"), place)
        prompt = prompt_of(row["prompt"], "prompt", place)
        return _Pair(prompt, row["a"], row["b"], labels, beside=beside)
    raise DataError(f"got a row with {', '.join(row) or 'nothing'}; {_EXPECTED}", location=place)


def _annotators(row: FileRow) -> list[str]:
    return [key for key in row if _ANNOTATOR.fullmatch(key)]


def _plain(row: FileRow, place: str) -> Mapping[str, Any]:
    if "labels" not in row:
        return {"label": row["label"]}
    labels = row["labels"]
    if isinstance(labels, list):
        return {f"labels[{i}]": label for i, label in enumerate(labels)}
    if isinstance(labels, Mapping):
        return labels
    raise DataError(
        f"labels is {labels!r}; expected a list of labels, or annotator to label", location=place
    )


def _labels(
    given: Mapping[str, Any], read: Callable[[Any, str, str], Choice | None], place: str
) -> dict[str, Choice]:
    choices = {annotator: read(value, annotator, place) for annotator, value in given.items()}
    return {annotator: choice for annotator, choice in choices.items() if choice is not None}


def _number(value: Any, column: str, place: str) -> Choice | None:
    return _meant(value, {1: "win", 2: "loss"}, "1 or 2", column, place)


def _with_ties(value: Any, column: str, place: str) -> Choice | None:
    meanings: dict[Any, Choice] = {0: "tie", 1: "win", 2: "loss"}
    return _meant(value, meanings, "1, 2, or 0 for a tie", column, place)


def _word(value: Any, column: str, place: str) -> Choice | None:
    meanings: dict[Any, Choice] = {"a": "win", "b": "loss", "tie": "tie"}
    word = value.lower() if isinstance(value, str) else value
    return _meant(word, meanings, "a, b or tie", column, place)


def _meant(
    value: Any, meanings: Mapping[Any, Choice], expected: str, column: str, place: str
) -> Choice | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | str) or value not in meanings:
        raise _out_of_range(value, expected, column, place)
    return meanings[value]


def _preference(value: Any, column: str, place: str) -> Choice | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _out_of_range(value, _PREFERENCES, column, place)
    if isnan(value):
        return None
    if value in (0, 1.5):
        return "tie"
    if not 1 <= value <= 2:
        raise _out_of_range(value, _PREFERENCES, column, place)
    return "win" if value < 1.5 else "loss"


_PREFERENCES = "a number from 1 (output_1) to 2 (output_2), and 1.5 or 0 for a draw"


def _out_of_range(value: Any, expected: str, column: str, place: str) -> DataError:
    return DataError(f"{column} is {value!r}; expected {expected}", location=place)
