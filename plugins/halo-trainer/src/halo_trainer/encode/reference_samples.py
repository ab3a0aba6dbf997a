"""Samples of the reference beside the feedback, for a loss that is regularised on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from halo_core.errors import DataError
from halo_core.workspace.records import SAMPLES
from halo_trainer.encode.examples import EncodedCompletion, EncodedExample, Ids


class WithSamples(Sequence[EncodedExample]):
    """Examples that each have a sample of their prompt as a last completion.

    Args:
        data: Examples.
        samples: Prompt id to the token ids of a completion.
        max_length: Longest sequence; a longer sample loses its end.
        name: What messages call the data.

    Raises:
        DataError: When an example's prompt was not sampled.
    """

    def __init__(
        self,
        data: Sequence[EncodedExample],
        samples: dict[str, Ids],
        *,
        max_length: int,
        name: str,
    ) -> None:
        prompts = {example.prompt_id for example in data}
        lacking = prompts - samples.keys()
        if lacking:
            raise DataError(
                f"{len(lacking)} of its {len(prompts)} prompts have no sample of the reference; "
                "expected one for each. Sample all prompts of this set, without `n`",
                location=name,
            )
        self._data = data
        self._samples = samples
        self._max_length = max_length

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        example = self._data[index]
        prompt = example.completions[0].prompt_ids
        ids = self._samples[example.prompt_id][: self._max_length - len(prompt)]
        sample = EncodedCompletion(prompt, ids, False, "sample", sampled=True)
        return replace(example, completions=(*example.completions, sample))


def read_reference_samples(folder: Path, end: int) -> dict[str, Ids]:
    """Returns the token ids of a sample stage's completions by prompt id.

    Args:
        folder: The folder of the sample stage.
        end: The token that ends a completion; those that ended by themselves get it back.

    Raises:
        DataError: When a line is no sample with token ids.
    """
    return {
        sample["prompt_id"]: np.array(
            [*sample["token_ids"], *([end] if sample["finish"] == "stop" else [])], dtype=np.int32
        )
        for sample in SAMPLES.read(folder / SAMPLES.name, needs=("token_ids", "finish"))
    }
