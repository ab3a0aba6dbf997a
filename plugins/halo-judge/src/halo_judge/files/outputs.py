"""Reads files of outputs: samples of halo, or those of AlpacaEval."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from halo_core.errors import DataError, PathError
from halo_core.feedback import Message, Prompt, further_fields, prompt_id
from halo_core.judge import Tools
from halo_core.workspace.json_files import near_names, not_a_file, objects
from halo_core.workspace.records import SAMPLES
from halo_judge.files.token_store import TOKENS, TokenStore
from halo_judge.judge_stage.old_samples import OldNonsense
from halo_judge.judge_stage.on_disk import as_numbers, digest_of

FileRow = Mapping[str, Any]

_SAMPLED = (
    "token_ids",
    "token_logps",
    "sampling_options",
    "finish",
    "tokenizer",
    "template",
    "tools",
    "completion_fields",
    "target_fields",
)
NO_TEXT = "an output that is not a text"


@dataclass(frozen=True)
class ModelOutput:
    """One output of a model.

    Attributes:
        prompt: The messages before it.
        text: The text that the model wrote.
        tokens: Its length in tokens; None if the file does not have it.
        target: The completion that the data have for the prompt; None if there is none.
        target_tokens: The target's length in tokens; None if the file does not have it.
        sampled: Further columns of a sample of halo: its token ids, finish, digests and tools, and
            the further fields of both messages.
        own_id: The `prompt_id` of the row; None if it has none.
    """

    prompt: Prompt
    text: str
    tokens: int | None = None
    target: str | None = None
    target_tokens: int | None = None
    sampled: Mapping[str, Any] = field(default_factory=dict)
    own_id: str | None = None

    @property
    def tools(self) -> Tools | None:
        """The tools that the prompt offers."""
        return self.sampled.get("tools")

    @property
    def prompt_id(self) -> str:
        """Id of the prompt: the row's own id, else a digest of its messages and tools."""
        return self.own_id or self.content_id

    @property
    def content_id(self) -> str:
        """Id of the prompt, from its messages and tools."""
        return prompt_id(self.prompt, self.tools)


@dataclass(frozen=True)
class OutputFile:
    """The content of a file of outputs.

    Attributes:
        path: The file.
        name: Its name: the generator if all rows name the same one, else the name of the file or
            of the sampling stage's folder.
        outputs: The outputs in the order of the file.
        dropped: Numbers of left-out rows by reason.
    """

    path: Path
    name: str
    outputs: Sequence[ModelOutput]
    dropped: Mapping[str, int]


class OutputRows:
    """The outputs in a file, or in a sampling stage's folder, which are read one by one.

    A row is a sample of halo (``prompt``, ``completion``; optionally ``target``, ``tools``, fields
    of both messages and lengths) or of AlpacaEval (``instruction``, ``output``; optionally
    ``input`` and ``generator``). A row takes up to 24 bytes of memory, for the ids of the prompts.

    Args:
        given: A ``.jsonl`` or ``.json`` file (also ``.gz``), or a folder with `samples.jsonl`.
        tokens: Whether to keep token ids and log-probabilities, which take far more memory than
            the texts; or a store for them.

    Attributes:
        path: The file.
        dropped: Numbers of left-out rows by reason, once all are read.

    Raises:
        PathError: When there is no such file.
    """

    def __init__(self, given: str, tokens: bool | TokenStore = True) -> None:
        self.path = find_file(given)
        self.dropped: Counter[str] = Counter()
        self._tokens = tokens
        self._generators: set[str] = set()

    @property
    def name(self) -> str:
        """The name of the outputs, once all are read; see `OutputFile`."""
        stem = self.path.parent.name if self.path.name == SAMPLES.name else self.path.name
        return (next(iter(self._generators)) if len(self._generators) == 1 else "") or stem

    def __iter__(self) -> Iterator[ModelOutput]:
        """Yields the outputs in the order of the file. Call it once.

        Raises:
            DataError: When a row is neither, there are no rows, a ``prompt_id`` names two prompts,
                or they are samples of a model with NaN in its logits.
        """
        named, count = _NamedPrompts(), 0
        nonsense = OldNonsense(self.path)
        for number, row in objects(self.path):
            output = _output(row, f"{self.path}:{number}")
            if output is None:
                self.dropped[NO_TEXT] += 1
                continue
            named.add(output, number)
            nonsense.add(output.sampled)
            if len(self._generators) < 2:
                self._generators.add(str(row.get("generator", "")))
            count += 1
            yield self._without_tokens(output)
        if not count:
            raise DataError(
                f"no outputs in it ({_counted(self.dropped)}); expected at least one",
                location=str(self.path),
            )
        if (wrong := named.first_wrong()) is not None:
            self._refuse(wrong)
        nonsense.refuse()

    def _refuse(self, wrong: int) -> None:
        """Refuses a row whose id names another prompt before."""
        place = f"{self.path}:{wrong}"
        row = next(row for number, row in objects(self.path) if number == wrong)
        output = _output(row, place)
        assert output is not None, "it was read before"
        raise DataError(
            f"the prompt_id {output.prompt_id!r} names another prompt than in a row before; "
            "expected one id for each prompt with its tools. Leave the column out",
            location=place,
        )

    def _without_tokens(self, output: ModelOutput) -> ModelOutput:
        if isinstance(self._tokens, TokenStore):
            return replace(output, sampled=self._tokens.set_aside(output.sampled))
        if self._tokens:
            return output
        texts = {name: value for name, value in output.sampled.items() if name not in TOKENS}
        return replace(output, sampled=texts)


class _NamedPrompts:
    """Checks that each id names one prompt.

    It takes up to 24 bytes of memory for each row, and as many more for a moment at the end.
    """

    def __init__(self) -> None:
        self._ids, self._contents, self._rows = array("Q"), array("Q"), array("Q")
        self._last = ("", "")

    def add(self, output: ModelOutput, number: int) -> None:
        """Adds the output of a row."""
        if (pair := (output.prompt_id, output.content_id)) != self._last:
            self._last = pair
            self._ids.append(digest_of(pair[0]))
            self._contents.append(digest_of(pair[1]))
            self._rows.append(number)

    def first_wrong(self) -> int | None:
        """Returns the number of the first row whose id names another prompt in a row before."""
        ids, contents = as_numbers(self._ids), as_numbers(self._contents)
        if (ids == contents).all():
            return None
        order = np.argsort(ids, kind="stable")
        begins = np.flatnonzero(np.append(True, np.diff(ids[order]) != 0))
        named = np.repeat(contents[order[begins]], np.diff(begins, append=len(order)))
        wrong = order[contents[order] != named]
        return None if not len(wrong) else self._rows[int(wrong.min())]


def read_outputs(given: str, *, tokens: bool | TokenStore = True) -> OutputFile:
    """Returns the outputs in a file, or in a sampling stage's folder; see `OutputRows`.

    Args:
        given: A ``.jsonl`` or ``.json`` file (also ``.gz``), or a folder with `samples.jsonl`.
        tokens: Whether to keep token ids and log-probabilities; or a store for them.

    Raises:
        PathError: When there is no such file.
        DataError: See `OutputRows.__iter__`.
    """
    rows = OutputRows(given, tokens)
    outputs = list(rows)
    return OutputFile(rows.path, rows.name, outputs, rows.dropped)


def find_file(given: str) -> Path:
    """Returns the file of outputs that a path names.

    Raises:
        PathError: When the file does not exist. The message has similar names.
    """
    path = Path(given).expanduser()
    if path.is_dir():
        if not (path / SAMPLES.name).exists():
            raise PathError(
                f"the folder holds no {SAMPLES.name}; expected a file of outputs, or the folder "
                "of a sampling stage",
                location=given,
            )
        return path / SAMPLES.name
    if not path.exists():
        raise PathError(f"there is no such file.{near_names(path)}", location=given)
    if problem := not_a_file(path):
        raise PathError(problem, location=given)
    return path


def _output(row: FileRow, place: str) -> ModelOutput | None:
    if "prompt" in row and "completion" in row:
        text, target = row["completion"], row.get("target")
        prompt = prompt_of(row["prompt"], "prompt", place)
        lengths = [_count(row.get(key)) for key in ("tokens", "target_tokens")]
        sampled = {name: row[name] for name in _SAMPLED if row.get(name) is not None}
        sampled |= beside_of(row, ("completion_fields", "target_fields"), place)
        if text is None and sampled.get("completion_fields"):
            text = ""  # The message has only tool calls.
        if not isinstance(text, str):
            return None
        target = target if isinstance(target, str) else None
        own_id = row.get("prompt_id")
        own_id = own_id if isinstance(own_id, str) and own_id else None
        return ModelOutput(prompt, text, lengths[0], target, lengths[1], sampled, own_id)
    if "instruction" in row and "output" in row:
        text = row["output"]
        return ModelOutput(instruction_of(row, place), text) if isinstance(text, str) else None
    raise DataError(
        f"got a row with {', '.join(row) or 'nothing'}; expected prompt and completion (samples "
        "of halo), or instruction and output (AlpacaEval)",
        location=place,
    )


def beside_of(row: FileRow, fields: Sequence[str], place: str) -> dict[str, Any]:
    """Returns the `tools` of a row and its columns with further fields of messages, if present.

    Raises:
        DataError: When one of them has another form.
    """
    found = {name: row[name] for name in ("tools", *fields) if row.get(name) is not None}
    for name, value in found.items():
        objects_in = value if name == "tools" else [value]
        if not isinstance(objects_in, list) or not all(isinstance(o, dict) for o in objects_in):
            expected = "a list of objects" if name == "tools" else "an object"
            raise DataError(f"{name} is {_shown(value)}; expected {expected}", location=place)
    return found


def instruction_of(row: FileRow, place: str) -> list[Message]:
    """Returns the prompt of a row that has an `instruction`, an `input`, or both.

    Raises:
        DataError: When it has neither, or one of them is not text.
    """
    parts = [row[key] for key in ("instruction", "input") if row.get(key) not in (None, "")]
    if not parts or not all(isinstance(part, str) for part in parts):
        raise DataError(
            f"the instruction is {_shown(row.get('instruction'))} and the input "
            f"{_shown(row.get('input'))}; expected text",
            location=place,
        )
    return [{"role": "user", "content": "\n\n".join(parts)}]


def prompt_of(value: object, column: str, place: str) -> list[Message]:
    """Returns the messages of a prompt from text (one user message) or from messages.

    Raises:
        DataError: When it is neither.
    """
    if isinstance(value, str) and value:
        return [{"role": "user", "content": value}]
    if isinstance(value, list) and value and all(_is_message(item) for item in value):
        return [
            cast(
                Message, {"role": item["role"], "content": item["content"], **further_fields(item)}
            )
            for item in value
        ]
    raise DataError(
        f"{column} is {_shown(value)}; expected text, or a list of messages "
        '{"role": text, "content": text}',
        location=place,
    )


def _is_message(item: object) -> bool:
    return isinstance(item, Mapping) and all(
        isinstance(item.get(key), str) for key in ("role", "content")
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _counted(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{n} left out: {why}" for why, n in dropped.items()) or "it is empty"
