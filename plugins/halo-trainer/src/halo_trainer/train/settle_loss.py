"""Settles the options of a loss that depend on the numbers of desirable and undesirable data."""

from __future__ import annotations

from collections.abc import Sequence

from halo_core.feedback import Feedback
from halo_core.guarded.loss_calls import settled
from halo_core.loss import ClassCounts, Loss
from halo_trainer.encode.examples import EncodedData, EncodedExample


def settle_loss(loss: Loss, feedback: Feedback, data: Sequence[EncodedExample]) -> tuple[Loss, str]:
    """Returns the loss with data-dependent options settled, and its remark on the data.

    The remark is empty if no option was open and there is no problem. The runner has already warned
    of problems before the first stage.

    Args:
        loss: The loss from the spec.
        feedback: Kind of feedback. Only pairs and labelled completions have classes.
        data: The examples to learn from.
    """
    if feedback not in ("binary", "paired"):
        return loss, ""
    settlement = settled(loss, _class_counts(feedback, data))
    tells = settlement.caution or settlement.loss != loss
    return settlement.loss, settlement.remark if tells else ""


def _class_counts(feedback: Feedback, data: Sequence[EncodedExample]) -> ClassCounts:
    """Returns the number of completions of each class. A pair has one of each."""
    if feedback == "paired":
        return ClassCounts(len(data), len(data))
    if isinstance(data, EncodedData):
        desirable = data.counts.desirable  # This was counted during encoding.
    else:
        desirable = sum(example.completions[0].desirable for example in data)
    return ClassCounts(desirable, len(data) - desirable)
