"""Lines of growing files: samples, verdicts, scores, feedback and events."""

# This file must not use `from __future__ import annotations`: Python would then not see NotRequired
# and would treat every field as required.

from typing import Any, Literal, NotRequired, TypedDict

from halo_core.feedback import Prompt

Finish = Literal["stop", "length"]
"""Why a completion ended: by itself, or at the maximum length."""


class SamplingOptions(TypedDict):
    """How the tokens of a completion were drawn from a model's distribution."""

    temperature: float
    """Divisor of the logits. 0 takes the most probable token."""
    top_p: float
    """Sum of the probabilities of the tokens that were drawn from. 1 for all tokens."""
    top_k: int
    """Number of the most probable tokens that were drawn from. 0 for all tokens."""


class SampleLine(TypedDict):
    """A line of `samples.jsonl`: a prompt and the completion of a model."""

    v: NotRequired[int]
    """Version of the line."""
    prompt_id: str
    """Id of the prompt, made from its messages and tools (`halo_core.prompt_id`)."""
    prompt: Prompt
    """Messages before the completion."""
    completion: str
    """Text of the model, including control tokens."""
    tokens: int
    """Length of the completion in tokens."""
    completion_fields: NotRequired[dict[str, Any] | None]
    """Further fields of the completion's message, if sampling separates them from its text."""
    target: NotRequired[str | None]
    """Demonstrated, chosen or desirable completion in the data; null if it has no text."""
    target_fields: NotRequired[dict[str, Any] | None]
    """Further fields of the target's message: tool_calls and so on."""
    target_tokens: NotRequired[int | None]
    """Length of the target in tokens."""
    token_ids: NotRequired[list[int] | None]
    """Token ids of the completion; null if a server gave only the text."""
    token_logps: NotRequired[list[float] | None]
    """Log-probability of each token id under the model in nats, before temperature and top_p.
    If the finish is "stop", one more for the token that ended the completion."""
    sampling_options: NotRequired[SamplingOptions | None]
    """How the tokens were drawn; null if it is not known. An older halo wrote none."""
    finish: NotRequired[Finish]
    """Why the completion ended: "stop" if by itself, "length" if at the maximum length."""
    tokenizer: NotRequired[str | None]
    """Digest of the tokenizer that made the token ids."""
    template: NotRequired[str | None]
    """Digest of the chat template and of all else that decides how the prompt is rendered."""
    tools: NotRequired[list[dict[str, Any]] | None]
    """Tools that the prompt offers."""


class OrderVerdict(TypedDict):
    """Verdict of the judge for one order of the two texts."""

    order: Literal["AB", "BA"]
    """Order of the texts: in AB the completion is shown first."""
    winner: Literal["A", "B", "tie"] | None
    """Text that the judge preferred. A is the text shown first. Null if the judge failed."""
    reason: str
    """Words of the judge, or why it failed."""
    preference: NotRequired[float]
    """Probability that A is better, between 0 and 1, if the judge gives one."""
    calls: NotRequired[int]
    """Number of paid requests."""
    cost: NotRequired[float]
    """Cost of these requests in dollars, if the price is known."""


class VerdictLine(TypedDict):
    """A line of `verdicts.jsonl`: a completion compared with a baseline, in one order or both."""

    v: NotRequired[int]
    """Version of the line."""
    prompt_id: str
    """Id of the prompt, made from its messages and tools."""
    prompt: Prompt
    """Messages before both texts."""
    completion: str
    """Text that is judged."""
    baseline: str
    """Text that it is compared with."""
    result: Literal["win", "loss", "tie", "unscored"]
    """Result for the completion over all orders."""
    flip: bool
    """Whether the two orders named different texts; the result is then a tie."""
    orders: list[OrderVerdict]
    """Verdict for each order; empty if both texts are the same."""
    tokens: NotRequired[int | None]
    """Length of the completion in tokens, if known."""
    baseline_tokens: NotRequired[int | None]
    """Length of the baseline in tokens, if known."""
    tools: NotRequired[list[dict[str, Any]] | None]
    """Tools that the prompt offers."""
    completion_fields: NotRequired[dict[str, Any] | None]
    """Further fields of the completion's message: tool_calls and so on."""
    baseline_fields: NotRequired[dict[str, Any] | None]
    """Further fields of the baseline's message: tool_calls and so on."""


class ScoreLine(TypedDict):
    """A line of `scores.jsonl`: the score of a completion."""

    v: NotRequired[int]
    """Version of the line."""
    id: str
    """Id of the completion with its prompt."""
    completion: str
    """Text that is scored."""
    score: float | None
    """Score of the judge; null if the judge failed."""
    reason: str
    """Words of the judge, or why it failed."""
    cut: bool
    """Whether the text was too long, so that the judge saw a part of it."""
    completion_fields: NotRequired[dict[str, Any] | None]
    """Further fields of the completion's message: tool_calls and so on."""


class FeedbackLine(TypedDict):
    """A line of `feedback.jsonl`: a row of feedback, with the columns of its kind.

    Other columns are allowed and ignored. The data source `jsonl` reads such a file, too.
    """

    v: NotRequired[int]
    """Version of the line."""
    id: NotRequired[str]
    """Id of the row. Default: the number of the line."""
    prompt: NotRequired[Prompt]
    """Messages before the completions, for every kind of feedback but text."""
    completion: NotRequired[str]
    """Completion of a demonstration or of binary feedback."""
    desirable: NotRequired[bool]
    """Label of binary feedback."""
    score: NotRequired[float]
    """Score that the label comes from."""
    chosen: NotRequired[str]
    """Better completion of paired feedback."""
    rejected: NotRequired[str]
    """Worse completion of paired feedback."""
    chosen_score: NotRequired[float]
    """Score of the better completion."""
    rejected_score: NotRequired[float]
    """Score of the worse completion."""
    completions: NotRequired[list[str]]
    """Completions of scored feedback."""
    scores: NotRequired[list[float]]
    """Scores of the completions. Higher is better."""
    text: NotRequired[str]
    """Raw text, for feedback of the kind text."""
    tools: NotRequired[list[dict[str, Any]] | None]
    """Tools that the prompt offers."""
    tokenizer: NotRequired[str | None]
    """Digest of the tokenizer that made the token ids."""
    template: NotRequired[str | None]
    """Digest of the chat template that the completions were sampled with."""
    completion_fields: NotRequired[dict[str, Any] | None]
    """Further fields of the completion's message: tool_calls and so on."""
    completion_token_ids: NotRequired[list[int] | None]
    """Token ids of the completion, as sampled."""
    completion_token_logps: NotRequired[list[float] | None]
    """The sampler's log-probability of each token of the completion, nats."""
    completion_sampling: NotRequired[SamplingOptions | None]
    """How the tokens of the completion were drawn."""
    finish: NotRequired[Finish | None]
    """Why the completion ended: "stop" if by itself, "length" if at the maximum length."""
    chosen_fields: NotRequired[dict[str, Any] | None]
    """Further fields of the better completion's message: tool_calls and so on."""
    chosen_token_ids: NotRequired[list[int] | None]
    """Token ids of the better completion, as sampled."""
    chosen_token_logps: NotRequired[list[float] | None]
    """The sampler's log-probability of each token of the better completion, nats."""
    chosen_sampling: NotRequired[SamplingOptions | None]
    """How the tokens of the better completion were drawn."""
    chosen_finish: NotRequired[Finish | None]
    """Why the better completion ended: "stop" if by itself, "length" if at the maximum length."""
    rejected_fields: NotRequired[dict[str, Any] | None]
    """Further fields of the worse completion's message: tool_calls and so on."""
    rejected_token_ids: NotRequired[list[int] | None]
    """Token ids of the worse completion, as sampled."""
    rejected_token_logps: NotRequired[list[float] | None]
    """The sampler's log-probability of each token of the worse completion, nats."""
    rejected_sampling: NotRequired[SamplingOptions | None]
    """How the tokens of the worse completion were drawn."""
    rejected_finish: NotRequired[Finish | None]
    """Why the worse completion ended: "stop" if by itself, "length" if at the maximum length."""
    completions_fields: NotRequired[list[dict[str, Any] | None] | None]
    """Further fields of the message of each completion."""
    completions_token_ids: NotRequired[list[list[int] | None] | None]
    """Token ids of each completion."""
    completions_token_logps: NotRequired[list[list[float] | None] | None]
    """The sampler's log-probability of each token of each completion, nats."""
    completions_sampling: NotRequired[list[SamplingOptions | None] | None]
    """How the tokens of each completion were drawn."""
    finishes: NotRequired[list[Finish | None] | None]
    """Why each completion ended: "stop" or "length"."""


class EventLine(TypedDict):
    """A line of `events.jsonl`: an event of a stage or a run.

    `halo_core.events` lists the further fields of each type. A run's file also contains the events
    of its stages. Those of a stage from the store are replayed with ``"cached": true``
    and their old times. Only ``stage-ended`` is new: its time is that of the replay. Its ``status``
    is ``computed``, or ``cached`` if the stage came from the store. A stage that failed or was
    interrupted writes no ``stage-ended``.
    """

    v: NotRequired[int]
    """Version of the line."""
    time: float
    """Time in Unix seconds."""
    type: str
    """Type of the event."""
    stage: NotRequired[str | None]
    """Id of the event's stage; null for a warning of the run."""
    step: NotRequired[int]
    """Training step, counted from 1."""
    metrics: NotRequired[dict[str, float]]
    """Numbers by name."""
