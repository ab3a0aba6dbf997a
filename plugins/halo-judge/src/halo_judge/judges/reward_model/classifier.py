"""A loaded classifier that scores: reads answers as token ids, and computes batches of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from halo_core.errors import ModelError, UserError
from halo_core.scoring_judge import Answer
from halo_judge.judges.reward_model.recipe import JUDGE, Recipe

try:
    import torch
    from torch import Tensor

    from halo_judge.judges.reward_model.classifier_text import ClassifierInput, Reader
    from halo_judge.judges.reward_model.padding_probe import scores_together
    from halo_models.device import pick_dtype
    from halo_models.load import context_length, load_classifier
except ModuleNotFoundError as missing:
    raise UserError(
        f"needs torch and transformers ({missing}): pip install 'halo-judge[models]'",
        location=JUDGE,
    ) from None

LONGEST = 4096
"""Maximum number of tokens if neither the options nor the model have a lower limit."""


class RewardClassifier:
    """A loaded classifier.

    Args:
        recipe: The classifier, and how it scores.
        device: The device to compute on.
        warn: Receives a warning if texts will be scored one at a time.

    Attributes:
        batch_size: Number of texts per batch: 1 if padding changes scores.

    Raises:
        ModelError: When it is not a classifier with weights, or lacks the label.
    """

    def __init__(
        self, recipe: Recipe, device: torch.device, *, warn: Callable[[str], None]
    ) -> None:
        model = recipe.model
        loaded = load_classifier(model, dtype=pick_dtype(recipe.precision, device), device=device)
        self._network, self._tokenizer = loaded.network, loaded.tokenizer
        self._device = device
        limit = min(recipe.max_length or LONGEST, _context(self._network, self._tokenizer))
        try:
            self._reader = Reader(loaded.tokenizer, loaded.notes, reads=recipe.reads, limit=limit)
        except ModelError as error:
            raise ModelError(error.message, location=model.path) from error
        self._column = label_index(self._network.config, recipe.label, model.path)
        self._probability = recipe.probability
        together = recipe.batch_size > 1 and scores_together(
            self._network, self._logits, self._tokenizer, limit=limit, warn=warn
        )
        self.batch_size = recipe.batch_size if together else 1

    def read(self, answers: Sequence[Answer]) -> Iterator[tuple[int, ClassifierInput | str]]:
        """Yields the place of each answer with its token ids, or why it has none."""
        for place, answer in enumerate(answers):
            yield place, self.read_one(answer)

    def read_one(self, answer: Answer) -> ClassifierInput | str:
        """Returns the token ids of an answer, or why it has none."""
        try:
            return self._reader.read(answer)
        except ValueError as error:
            return str(error)

    def values(
        self, batches: Sequence[Sequence[ClassifierInput]]
    ) -> Iterator[tuple[int, list[float]]]:
        """Yields the place of each batch with the scores of its texts."""
        for place, batch in enumerate(batches):
            yield place, self.values_of(batch)

    def values_of(self, batch: Sequence[ClassifierInput]) -> list[float]:
        """Returns the scores of the texts of one batch, which may be NaN or infinite."""
        values: list[float] = self._wanted(self._logits(batch)).tolist()
        return values

    def _logits(self, batch: Sequence[ClassifierInput]) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = self._network(**self._padded(batch)).logits
        return logits.float()

    def _wanted(self, logits: Tensor) -> Tensor:
        """Returns the score of each text [B] from its logits [B, labels]."""
        if not self._probability:
            return logits[:, self._column]
        independent = self._network.config.problem_type == "multi_label_classification"
        if logits.shape[1] == 1 or independent:
            return logits[:, self._column].sigmoid()
        return logits.softmax(dim=1)[:, self._column]

    def _padded(self, batch: Sequence[ClassifierInput]) -> dict[str, Tensor]:
        longest = max(len(text.ids) for text in batch)
        padding = self._padding(batch)
        columns: dict[str, list[list[int]]] = {
            "input_ids": [[*t.ids, *[padding] * (longest - len(t.ids))] for t in batch],
            "attention_mask": [[*[1] * len(t.ids), *[0] * (longest - len(t.ids))] for t in batch],
        }
        if batch[0].types:
            columns["token_type_ids"] = [[*t.types, *[0] * (longest - len(t.types))] for t in batch]
        return {name: torch.tensor(rows, device=self._device) for name, rows in columns.items()}

    def _padding(self, batch: Sequence[ClassifierInput]) -> int:
        """Returns the padding token, and sets it in the model, which reads the last other token.

        If the tokenizer has none, or its padding token also ends texts, this is any token that is
        not in the batch. Otherwise the model would read the end of a text as padding.
        """
        used = {token for text in batch for token in text.ids}
        padding: int | None = self._tokenizer.pad_token_id
        if padding is None or any(text.ids[-1:] == [padding] for text in batch):
            padding = next(token for token in range(len(used) + 1) if token not in used)
        self._network.config.get_text_config().pad_token_id = padding
        self._network.config.pad_token_id = padding
        return padding


def _context(network: Any, tokenizer: Any) -> int:
    """Returns a model's limit of tokens; `LONGEST` if model and tokenizer have none."""
    known = [n for n in (context_length(network), tokenizer.model_max_length) if n and n < 10**6]
    return min([int(n) for n in known] or [LONGEST])


def label_index(config: Any, label: str | None, where: str) -> int:
    """Returns the column of a label, or of the only label if none is named.

    Raises:
        ModelError: When the model has no such label, or has several and none is named.
    """
    names = {int(number): str(name) for number, name in config.id2label.items()}
    if label is None and len(names) == 1:
        return 0
    places = [i for i, name in names.items() if label in (name, str(i))]
    if len(places) == 1:
        return places[0]
    came = "the option label names none" if label is None else f"none is called {label!r}"
    raise ModelError(
        f"it has the labels {', '.join(names.values())}, and {came}; expected one of them",
        location=f"{JUDGE}: {where}",
    )
