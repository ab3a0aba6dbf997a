"""Checks the content of what a stage wrote: whole lines, valid rows, finite numbers."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from halo_core.errors import DataError, HaloError
from halo_core.guarded.stage_calls import PROMISED, feedback_given_of
from halo_core.hashing import file_hash
from halo_core.run.row_checks import checked_columns
from halo_core.stage import Product, Stage, StageContext
from halo_core.testing.advice import advise
from halo_core.testing.component import expect
from halo_core.workspace.formats import LineFile
from halo_core.workspace.records import FEEDBACK, SAMPLES, VERDICTS

LINES: Mapping[Product, LineFile[Any]] = {
    "samples": SAMPLES,
    "verdicts": VERDICTS,
    "feedback": FEEDBACK,
}
"""The file of each product that is not a model."""

EXPONENTS: Mapping[str, tuple[str, int]] = {
    "F64": ("Q", 0x7FF0 << 48),
    "F32": ("I", 0x7F80 << 16),
    "F16": ("H", 0x7C00),
    "BF16": ("H", 0x7F80),
}
"""Width of each dtype of safetensors, as in `struct`, and the bits of its exponent.

A number whose bits of the exponent are all 1 is infinite or NaN.
"""

TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
"""Files of a tokenizer, of which a model has one at least."""

LARGEST = 50_000_000
"""Size in bytes of a file of weights above which its numbers are not read."""


MEASURED = ("_s", "_gb")
"""Ends of the names of metrics that are times, speeds or memory, and so differ between runs."""


def results_in(metrics: Mapping[str, float]) -> Mapping[str, float]:
    """Returns the metrics of a stage that must be the same whenever the same work is done.

    >>> results_in({"loss": 0.5, "tok_s": 8000.0, "peak_gb": 0.4})
    {'loss': 0.5}
    """
    return {name: value for name, value in metrics.items() if not name.endswith(MEASURED)}


def check_content(stage: Stage, folder: Path) -> None:
    """Checks the output of a finished stage.

    Args:
        stage: The stage.
        folder: Its folder.

    Raises:
        AssertionError: When a weight of a model is not finite, or a file of lines has a
            line that other stages cannot read: it is empty, a field is missing or has another type,
            a number is not finite, or a row is not one of the feedback that the stage promises; or
            when the file is not readable.
    """
    if stage.produces == "model":
        for file in sorted((folder / PROMISED["model"]).rglob("*.safetensors")):
            _check_weights(stage, file)
        return
    file = folder / PROMISED[stage.produces]
    # The advice for a user, to compute the stage again, would help no author.
    lines = replace(
        LINES[stage.produces], mend=f"Mend the lines that {type(stage).__name__} writes"
    )
    readable = file.stat().st_mode & 0o400
    expect(bool(readable), stage, f"run() makes {file.name} unreadable, so no stage can read it")
    _check_numbers(stage, file)
    try:
        rows: Sequence[Mapping[str, Any]] = list(lines.read_finished(file, None))
    except HaloError as error:
        expect(False, stage, f"run() wrote a file that cannot be read: {error}")
        return
    if not rows and stage.produces == "feedback":
        advise(
            stage,
            f"run() keeps none of the kit's rows, so nothing is known about {file.name}; call "
            "halo_core.testing.check_stage in a test, with rows that it keeps",
        )
        return
    expect(len(rows) > 0, stage, f"run() wrote {file.name} without a line; expected one at least")
    for number, row in enumerate(rows, start=1):
        fault = lines.fault(row)
        expect(fault is None, stage, f"line {number} of {file.name}: {fault}")
        if stage.produces == "feedback":
            feedback = feedback_given_of(stage)
            try:
                checked_columns(feedback, row)
            except (DataError, KeyError) as error:
                told = error.message if isinstance(error, DataError) else f"it has no {error}"
                expect(False, stage, f"line {number} of {file.name}, {feedback} feedback: {told}")


def check_tokenizer(stage: Stage, context: StageContext) -> None:
    """Checks that a new model has a tokenizer, if a model that the stage reads has one.

    Args:
        stage: The stage.
        context: Its context.

    Raises:
        AssertionError: When it has weights in the format of transformers, and no tokenizer.
    """
    product = context.folder / PROMISED["model"]
    if stage.produces != "model" or not [*product.glob("*.safetensors")]:
        return
    given = [Path(model.path) for model in context.models.values()]
    expect(
        any((product / name).is_file() for name in TOKENIZERS)
        or not any((place / name).is_file() for place in given for name in TOKENIZERS),
        stage,
        f"run() writes a model without a tokenizer ({' or '.join(TOKENIZERS)}), and no other stage "
        "can use it; save that of the model that it reads next to the weights",
    )


def _check_numbers(stage: Stage, file: Path) -> None:
    def refuse(name: str) -> None:
        expect(False, stage, f"{file.name} has the number {name}; expected finite numbers")

    # Not `splitlines`: JSON may hold line ends of other kinds as they are.
    text = file.read_text("utf-8")
    expect("\n\n" not in text, stage, f"{file.name} has an empty line; write one row per line")
    for line in filter(None, text.split("\n")):
        try:
            json.loads(line, parse_constant=refuse)
        except ValueError as error:
            expect(False, stage, f"{file.name} has a line that is not JSON: {error}")


def _check_weights(stage: Stage, file: Path) -> None:
    if file.stat().st_size > LARGEST:
        return
    try:
        wrong = next(_not_finite(file.read_bytes()), None)
    except (struct.error, ValueError, KeyError, TypeError) as error:
        expect(False, stage, f"{file.name} is not a file of safetensors: {error}")
        return
    expect(wrong is None, stage, f"the weights {wrong!r} in {file.name} are not all finite numbers")


def _not_finite(content: bytes) -> Iterator[str]:
    """Yields the names of the tensors of a safetensors file with an infinity or a NaN."""
    (size,) = struct.unpack_from("<Q", content)
    head = json.loads(content[8 : 8 + size])
    data = memoryview(content)[8 + size :]
    for name, each in head.items():
        if name == "__metadata__" or each["dtype"] not in EXPONENTS:
            continue
        width, bits = EXPONENTS[each["dtype"]]
        start, end = each["data_offsets"]
        if end > len(data):
            raise ValueError(f"it ends within the weights {name!r}")
        numbers = struct.iter_unpack(f"<{width}", data[start:end])
        if any(number & bits == bits for number in chain.from_iterable(numbers)):
            yield name


def hashes_of(stage: Stage, folder: Path) -> Mapping[str, str]:
    """Returns the hash of each file of a stage's output; of a model, only the weights count.

    Args:
        stage: The stage.
        folder: Its folder.
    """
    product = folder / PROMISED[stage.produces]
    files = [product] if product.is_file() else sorted(product.rglob("*.safetensors"))
    return {str(file.relative_to(folder)): file_hash(file) for file in files}


__all__ = ["check_content", "check_tokenizer", "hashes_of", "results_in"]
