"""The session of the judge `reward-model`: scores batches of texts with similar lengths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from typing import Protocol

from halo_core.scoring_judge import Answer, Score
from halo_judge.judges.reward_model.classifier_text import ClassifierInput


class Scorer(Protocol):
    """A classifier in this process, or in several others."""

    @property
    def batch_size(self) -> int:
        """Number of texts per batch."""
        ...

    def read(self, answers: Sequence[Answer]) -> Iterable[tuple[int, ClassifierInput | str]]:
        """Yields the place of each answer with its token ids, or why it has none."""
        ...

    def values(
        self, batches: Sequence[Sequence[ClassifierInput]]
    ) -> Iterable[tuple[int, list[float]]]:
        """Yields the place of each batch with the scores of its texts."""
        ...


class RewardSession:
    """An open judge.

    The batches depend only on the answers and the batch size, so the scores have the same bits
    wherever the batches are computed.

    Args:
        classifier: Computes the scores.
    """

    def __init__(self, classifier: Scorer) -> None:
        self._classifier = classifier

    def score(self, answers: Sequence[Answer]) -> Iterator[Score]:
        """Yields one score per answer in batches, with the longest texts first."""
        inputs: list[tuple[str, ClassifierInput]] = []
        for place, read in self._classifier.read(answers):
            if isinstance(read, str):
                yield Score(answers[place].id, None, read)
            else:
                inputs.append((answers[place].id, read))
        inputs.sort(key=lambda item: (-len(item[1].ids), item[0]))
        size = self._classifier.batch_size
        batches = [inputs[start : start + size] for start in range(0, len(inputs), size)]
        texts = [[text for _, text in batch] for batch in batches]
        for place, values in self._classifier.values(texts):
            for (id_, text), value in zip(batches[place], values, strict=True):
                if isfinite(value):
                    yield Score(id_, value, cut=text.cut)
                else:
                    yield Score(id_, None, f"the model gave {value}", text.cut)
