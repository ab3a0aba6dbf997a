"""Encodes the data sets of a training, and adds samples of the reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.errors import DataError, UserError
from halo_core.progress import Progress, SilentProgress
from halo_core.rows import DataSet
from halo_core.sampling import OTHER_DISTRIBUTION, Sampling
from halo_models.conversation import SPELLED_ADVICE, SPELLS
from halo_trainer.encode.examples import Counts, EncodedExample
from halo_trainer.encode.reference_samples import WithSamples, read_reference_samples
from halo_trainer.encode.rows_to_tokens import EncodingOptions, encode
from halo_trainer.encode.sampler_logps import ACCIDENTS, NO_NUMBERS, left_out_as

LONGEST = 2048
"""The default of `max_length`, as in the report."""

ADVICE = (
    "Expected rows that the stage label made from samples of the policy's own tokenizer and "
    "template; or choose options of the loss that compare with the reference, such as ratio_to: "
    "reference"
)
"""The advice for rows without the sampler's log-probabilities."""

EVALUATE = "evaluate."
"""Prefix of the names of evaluation sets."""


def encoding_options(
    max_length: int | None, max_prompt_length: int | None, config: Any
) -> EncodingOptions:
    """Returns the encoding options, with lengths from the options and the model's context.

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


def encode_sets(
    sets: Mapping[str, DataSet],
    tokenizer: Any,
    options: EncodingOptions,
    *,
    samples: Path | None,
    cache: Path,
    warn: Callable[[str], None],
    progress: Progress | None = None,
) -> tuple[Sequence[EncodedExample], dict[str, Sequence[EncodedExample]]]:
    """Returns the examples of the training data, and those of evaluation sets by name.

    Args:
        sets: Rows by the option that names them: ``data``, and ``evaluate.NAME`` for other sets.
        tokenizer: The policy's tokenizer.
        options: Options for converting rows to tokens.
        samples: Folder with samples of the reference; None if none are needed.
        cache: Folder for encoded sets.
        warn: Receives warnings about cut rows.
        progress: Shows a bar for each set.

    Raises:
        DataError: When there are no rows, or a row lacks what the loss needs: a sample of the
            reference for its prompt, or the sampler's log-probabilities.
    """
    token_ids = None
    if samples is not None:
        token_ids = read_reference_samples(samples, tokenizer, options, warn)
    examples: dict[str, Sequence[EncodedExample]] = {}
    for option, rows in sets.items():
        shown = progress or SilentProgress()
        with shown.phase(f"encoding {rows.name}", len(rows), unit="row") as bar:
            encoded = encode(
                rows, tokenizer, options=options, cache=cache, warn=warn, encoded=bar.advance
            )
        for line in encoding_remarks(encoded.counts):
            warn(f"{rows.name}: {line}")
        if options.needs_logps:
            check_sampler_logps(encoded.counts, rows.name)
            for line in sampling_remarks(encoded.counts):
                warn(f"{rows.name}: {line}")
        if len(encoded) == 0:
            lost = [f"{n} dropped: {reason}" for reason, n in encoded.counts.dropped.items() if n]
            none = f"no row is left ({'; '.join(lost)})" if lost else "there are no rows"
            raise DataError(f"{none}; expected at least one", location=rows.name)
        if (remark := few_left(rows, encoded)) is not None:
            warn(f"{rows.name}: {remark}")
        examples[option] = encoded
        if token_ids is not None:
            examples[option] = WithSamples(
                encoded, token_ids, max_length=options.max_length, name=rows.name
            )
    data = examples.pop("data")
    return data, {option.removeprefix(EVALUATE): rows for option, rows in examples.items()}


def check_sampler_logps(counts: Counts, name: str, *, is_sketch: bool = False) -> None:
    """Checks that the completions are those of a model with their log-probabilities.

    Single completions without usable ones were left out before, see `ACCIDENTS`.

    Args:
        counts: The counts of the encoded rows.
        name: Name of the set, for the message.
        is_sketch: Whether the tokenizer is only a draft. Then only rows without any are wrong.

    Raises:
        DataError: When some have none, or all were left out because they have none. The message
            has the numbers and the reasons.
    """
    lost = {reason: counts.dropped.get(left_out_as(reason), 0) for reason in ACCIDENTS}
    none = lost.pop(NO_NUMBERS)
    if none and not counts.completions and not any(lost.values()):
        raise DataError(f"all completions {NO_NUMBERS} ({none}). {ADVICE}", location=name)
    lacking = counts.completions - counts.sampler_logps
    if not lacking:
        return
    unusable = {reason: n for reason, n in counts.unusable_logps.items() if n}
    without = max(0, lacking - sum(unusable.values()))
    if is_sketch and not without:
        return
    reasons = [f"{n} {reason}" for reason, n in unusable.items()]
    reasons += [f"{without} have none in their rows"] if without else []
    raise DataError(
        f"{lacking} of {counts.completions} completions lack the sampler's log-probabilities, "
        f"which the loss needs ({'; '.join(reasons)}). {ADVICE}",
        location=name,
    )


def sampling_remarks(counts: Counts) -> list[str]:
    """Returns warnings for a loss that needs the sampler's log-probabilities, if any.

    They are those of the model itself. They are also those of the distribution that the tokens were
    drawn from only at temperature 1 without top_p and top_k.
    """
    of = f"of {counts.completions} completions"
    lines = [
        f"{number} {of} were sampled with {how}. The loss {OTHER_DISTRIBUTION}. Nothing corrects "
        "the difference; sample with temperature: 1, top_p: 1 and top_k: 0"
        for how, number in counts.samplings.items()
        if how != str(Sampling())
    ]
    unknown = counts.sampler_logps - sum(counts.samplings.values())
    if unknown > 0:
        lines.append(
            f"{unknown} {of} do not say with which temperature, top_p and top_k they were sampled. "
            "The loss takes them as sampled at temperature 1 from all tokens"
        )
    return lines


def few_left(rows: DataSet, encoded: Sequence[EncodedExample]) -> str | None:
    """Returns a remark if most rows of a set were left out; None otherwise.

    No row is left out here to select data, so this is often a mistake. It is not an error, because
    a model that is still poor may draw mostly completions that cannot be used.
    """
    # A text may become several examples, and none is left out.
    if rows.feedback == "text" or len(encoded) * 2 >= len(rows):
        return None
    return (
        f"only {len(encoded)} of {len(rows)} rows are left ({len(encoded) / len(rows):.0%}). "
        "Expected most of them: look at the reasons above, at max_length, and at the template"
    )


def encoding_remarks(counts: Counts) -> list[str]:
    """Returns remarks for people on rows that were cut, left out or changed, if any."""
    lines = []
    if counts.truncated_prompts or counts.truncated_completions:
        lines.append(
            f"{counts.truncated_prompts} prompts and {counts.truncated_completions} completions "
            "were cut to fit max_prompt_length and max_length"
        )
    lines += [f"dropped {count}: {reason}" for reason, count in counts.dropped.items() if count]
    for remark, count in counts.remarks.items():
        if count:
            advice = SPELLED_ADVICE if remark == SPELLS else ""
            lines.append(f"{count} of {counts.completions} completions {remark}{advice}")
    return lines
