"""The session of the judge `reward-model`: batches of similar length through a classifier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any

from halo_core.errors import ModelError, UserError
from halo_core.scoring_judge import Answer, Score
from halo_core.stage import ModelInput
from halo_judge.judges.reward_model.options import RewardModel

JUDGE = "the judge reward-model"

try:
    import torch
    from torch import Tensor

    from halo_judge.judges.reward_model.classifier_text import Read, Reader
    from halo_models.device import pick_device, pick_dtype
    from halo_models.load import context_length, load_classifier
except ModuleNotFoundError as missing:
    raise UserError(
        f"needs torch and transformers ({missing}): pip install 'halo-judge[models]'",
        location=JUDGE,
    ) from None

LONGEST = 4096
"""Most tokens where neither the options nor the model say less."""


class RewardSession:
    """A loaded classifier.

    Args:
        judge: The options.
        model: Where the classifier is.

    Raises:
        UserError: When a GPU is asked for that is not there.
        ModelError: When it is no classifier with weights, or has no such label.
    """

    def __init__(self, judge: RewardModel, model: ModelInput) -> None:
        try:
            device = pick_device(judge.device)
        except UserError as error:
            raise UserError(error.message, location=JUDGE) from error
        loaded = load_classifier(model, dtype=pick_dtype(judge.precision, device), device=device)
        self._network, self._tokenizer = loaded.network, loaded.tokenizer
        self._device = device
        self._batch_size = judge.batch_size
        limit = min(judge.max_length or LONGEST, _context(self._network, self._tokenizer))
        try:
            self._reader = Reader(loaded.tokenizer, loaded.notes, reads=judge.reads, limit=limit)
        except ModelError as error:
            raise ModelError(error.message, location=model.path) from error
        self._column = label_index(self._network.config, judge.label, model.path)
        self._probability = judge.output == "probability"

    def score(self, answers: Sequence[Answer]) -> Iterator[Score]:
        """Yields one score per answer, longest texts first, batch by batch."""
        read: list[tuple[str, Read]] = []
        for answer in answers:
            try:
                read.append((answer.id, self._reader.read(answer)))
            except ValueError as error:
                yield Score(answer.id, None, str(error))
        read.sort(key=lambda item: (-len(item[1].ids), item[0]))
        for start in range(0, len(read), self._batch_size):
            batch = read[start : start + self._batch_size]
            values = self._values([found for _, found in batch])
            for (id_, found), value in zip(batch, values, strict=True):
                if isfinite(value):
                    yield Score(id_, value, cut=found.cut)
                else:
                    yield Score(id_, None, f"the model gave {value}", found.cut)

    def _values(self, batch: Sequence[Read]) -> list[float]:
        with torch.inference_mode():
            logits = self._network(**self._padded(batch)).logits.float()
        values: list[float] = self._wanted(logits).tolist()
        return values

    def _wanted(self, logits: Tensor) -> Tensor:
        """Returns the score of each text [B] from its logits [B, labels]."""
        if not self._probability:
            return logits[:, self._column]
        independent = self._network.config.problem_type == "multi_label_classification"
        if logits.shape[1] == 1 or independent:
            return logits[:, self._column].sigmoid()
        return logits.softmax(dim=1)[:, self._column]

    def _padded(self, batch: Sequence[Read]) -> dict[str, Tensor]:
        longest = max(len(read.ids) for read in batch)
        padding = self._padding(batch)
        columns: dict[str, list[list[int]]] = {
            "input_ids": [[*r.ids, *[padding] * (longest - len(r.ids))] for r in batch],
            "attention_mask": [[*[1] * len(r.ids), *[0] * (longest - len(r.ids))] for r in batch],
        }
        if batch[0].types:
            columns["token_type_ids"] = [[*r.types, *[0] * (longest - len(r.types))] for r in batch]
        return {name: torch.tensor(rows, device=self._device) for name, rows in columns.items()}

    def _padding(self, batch: Sequence[Read]) -> int:
        """Returns the padding token, and tells the model, which reads the last other token.

        A tokenizer without one, or whose padding ends texts as well, gets any token that is not
        in the batch: the model would take the end of a text for padding.
        """
        used = {token for read in batch for token in read.ids}
        padding: int | None = self._tokenizer.pad_token_id
        if padding is None or any(read.ids[-1:] == [padding] for read in batch):
            padding = next(token for token in range(len(used) + 1) if token not in used)
        self._network.config.get_text_config().pad_token_id = padding
        self._network.config.pad_token_id = padding
        return padding


def _context(network: Any, tokenizer: Any) -> int:
    """Returns how many tokens a model can take, `LONGEST` where neither of both says."""
    known = [n for n in (context_length(network), tokenizer.model_max_length) if n and n < 10**6]
    return min([int(n) for n in known] or [LONGEST])


def label_index(config: Any, label: str | None, where: str) -> int:
    """Returns the column of a label; that of the only one when none is named.

    Raises:
        ModelError: When the model has no such label, or has several and none is named.
    """
    names = {int(number): str(name) for number, name in config.id2label.items()}
    if label is None and len(names) == 1:
        return 0
    found = [i for i, name in names.items() if label in (name, str(i))]
    if len(found) == 1:
        return found[0]
    came = "the option label names none" if label is None else f"none is called {label!r}"
    raise ModelError(
        f"it has the labels {', '.join(names.values())}, and {came}; expected one of them",
        location=f"{JUDGE}: {where}",
    )
