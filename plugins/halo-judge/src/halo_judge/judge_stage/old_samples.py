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


def refuse_old_nonsense(samples: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Refuses samples as `without_old_nonsense` does, without giving them back."""
    for _ in without_old_nonsense(samples, path):
        pass


def without_old_nonsense(samples: Iterable[SampleT], path: Path) -> Iterator[SampleT]:
    """Yields samples, and refuses them if they were drawn from logits that were not finite.

    Samples that name their tokenizer are newer than the check of the logits, and are accepted.

    Args:
        samples: The lines of the file. `token_ids` and `tokenizer` describe the sampling.
        path: The file, for the message.

    Raises:
        DataError: After the last one, when all of them are empty, or repeat the first token of the
            vocabulary.
    """
    count, nonsense = 0, True
    for sample in samples:
        count += 1
        nonsense = nonsense and _is_nonsense(sample)
        yield sample
    if count >= FEWEST and nonsense:
        raise DataError(
            f"all {count} completions are empty, or repeat the first token of the "
            "vocabulary; expected completions. An earlier version of halo sampled this from a "
            "model with NaN in its logits. Sample again: halo then names what is wrong with the "
            "model",
            location=str(path),
        )


def _is_nonsense(sample: Mapping[str, Any]) -> bool:
    ids = sample.get("token_ids")
    return isinstance(ids, list) and not any(ids) and sample.get("tokenizer") is None
