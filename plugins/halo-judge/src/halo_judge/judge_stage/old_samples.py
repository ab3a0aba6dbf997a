"""Samples of a model whose weights were not finite, which an earlier halo drew without a warning.

Sampling now stops at such a model. Its earlier samples can be recognised by their token ids: from
logits that are NaN, it always drew the first token of the vocabulary. If this token ends a
completion, all completions were empty, and judges counted them as losses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from halo_core.errors import DataError

SampleT = TypeVar("SampleT", bound=Mapping[str, Any])

FEWEST = 4
"""Samples of a file that are judged by what they have in common; fewer could be chance."""


class OldNonsense:
    """Finds out whether samples were drawn from logits that were not finite.

    Samples that name their tokenizer are newer than the check of the logits, and are accepted.

    Args:
        path: The file, for the message.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0
        self._all = True

    def add(self, sample: Mapping[str, Any]) -> None:
        """Looks at a line of the file, whose `token_ids` and `tokenizer` describe the sampling."""
        self._count += 1
        self._all = self._all and _is_nonsense(sample)

    def refuse(self) -> None:
        """Refuses the samples. Call it after the last one.

        Raises:
            DataError: When all of them are empty, or repeat the first token of the vocabulary.
        """
        if self._count >= FEWEST and self._all:
            raise DataError(
                f"all {self._count} completions are empty, or repeat the first token of the "
                "vocabulary; expected completions. An earlier version of halo sampled this from a "
                "model with NaN in its logits. Sample again: halo then names what is wrong with "
                "the model",
                location=str(self._path),
            )


def without_old_nonsense(samples: Iterable[SampleT], path: Path) -> Iterator[SampleT]:
    """Yields the samples of a file, and then refuses them if `OldNonsense` does."""
    found = OldNonsense(path)
    for sample in samples:
        found.add(sample)
        yield sample
    found.refuse()


def _is_nonsense(sample: Mapping[str, Any]) -> bool:
    ids = sample.get("token_ids")
    return isinstance(ids, list) and not any(ids) and sample.get("tokenizer") is None
