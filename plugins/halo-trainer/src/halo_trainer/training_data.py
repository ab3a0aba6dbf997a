"""The data of a training: encoded, joined with samples, and counted for the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from halo_core.errors import DataError, UserError
from halo_core.feedback import Feedback
from halo_core.loss import ClassCounts, Loss
from halo_core.loss_calls import settled
from halo_core.stage import StageContext
from halo_models.tokenizers import completion_end_id
from halo_trainer.encoded import EncodedData, EncodedExample
from halo_trainer.encoding import EncodingOptions, encode
from halo_trainer.reference_samples import WithSamples, read_samples

LONGEST = 2048
"""The default of `max_length`, as in the report."""

EVALUATE = "evaluate."


def encoding_options(
    max_length: int | None, max_prompt_length: int | None, config: Any
) -> EncodingOptions:
    """Returns the lengths that the options and the model's context give.

    Raises:
        UserError: When the model cannot take sequences of this length.
    """
    text = config.get_text_config()
    room = getattr(text, "max_position_embeddings", None) or getattr(text, "n_positions", None)
    if max_length is not None and room is not None and max_length > room:
        raise UserError(
            f"max_length {max_length} is more than the {room} tokens that the model can take; "
            f"set max_length to at most {room}",
            location="max_length",
        )
    longest = max_length or min(LONGEST, room or LONGEST)
    return EncodingOptions(longest, max_prompt_length or longest // 2)


def encoded_sets(
    context: StageContext, tokenizer: Any, options: EncodingOptions
) -> tuple[Sequence[EncodedExample], dict[str, Sequence[EncodedExample]]]:
    """Returns the examples to learn from, and those of further sets by name.

    Args:
        context: What the stage reads.
        tokenizer: The policy's.
        options: How rows become tokens.

    Raises:
        DataError: When there are no rows, or a prompt has no sample where samples are wanted.
    """
    folder = context.inputs.get("samples")
    samples = None if folder is None else read_samples(folder, completion_end_id(tokenizer))
    sets: dict[str, Sequence[EncodedExample]] = {}
    for option, rows in context.data.items():
        encoded = encode(rows, tokenizer, options=options, cache=context.cache)
        if len(encoded) == 0:
            raise DataError("there are no rows; expected at least one", location=rows.name)
        _tell_cuts(
            context.warn, rows.name, encoded.truncated_prompts, encoded.truncated_completions
        )
        sets[option] = encoded
        if samples is not None:
            sets[option] = WithSamples(
                encoded, samples, max_length=options.max_length, name=rows.name
            )
    data = sets.pop("data")
    return data, {option.removeprefix(EVALUATE): rows for option, rows in sets.items()}


def _tell_cuts(warn: Callable[[str], None], name: str, prompts: int, completions: int) -> None:
    if prompts or completions:
        warn(
            f"{name}: {prompts} prompts and {completions} completions were cut to fit "
            "max_prompt_length and max_length"
        )


def settled_loss(
    loss: Loss, feedback: Feedback, data: Sequence[EncodedExample]
) -> tuple[Loss, str]:
    """Returns the loss with the options settled that depend on the data, and what it says of them.

    It says nothing where nothing was left open and nothing is wrong. The runner warned of what is
    wrong before the first stage.

    Args:
        loss: As the spec gives it.
        feedback: The kind of the examples; only pairs and labelled completions have classes.
        data: The examples to learn from.
    """
    if feedback not in ("binary", "paired"):
        return loss, ""
    made = settled(loss, _class_counts(feedback, data))
    return made.loss, made.remark if made.caution or made.loss != loss else ""


def _class_counts(feedback: Feedback, data: Sequence[EncodedExample]) -> ClassCounts:
    """How many completions of each class there are; a pair has one of each."""
    if feedback == "paired":
        return ClassCounts(len(data), len(data))
    if isinstance(data, EncodedData):
        desirable = data.counts.desirable  # counted when it was encoded
    else:
        desirable = sum(example.completions[0].desirable for example in data)
    return ClassCounts(desirable, len(data) - desirable)
