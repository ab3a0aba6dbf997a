"""The stage `sample`: what it is asked to do. How it does it is in `answer_prompts`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from halo_core.component import Added, Default, Execution, StartRef, TestRef
from halo_core.stage import Inputs, Product, Stage, StageContext, StageResult
from halo_core.token_view import TokenView
from halo_models.conversation import ChatOptions
from halo_models.templates import date_or_none

if TYPE_CHECKING:
    from halo_trainer.sample.answer_prompts import SampleRecipe


class Sample(Stage):
    """Lets a model answer prompts; the completions are the stage's output."""

    produces: ClassVar[Product] = "samples"

    from_: Annotated[StartRef | None, Default("previous")] = Field(
        default=None,
        alias="from",
        description="The model to sample: a stage's id, or `model`. The preceding train stage "
        "when left out, else the model of the spec.",
    )
    prompts: TestRef = Field(description="The set whose prompts are answered.")
    n: int | None = Field(
        default=None,
        ge=1,
        description="How many distinct prompts, drawn with the run's seed; all when left out.",
    )
    temperature: float = Field(
        default=1.0, ge=0, description="Divides the logits; 0 takes the most probable token."
    )
    top_p: float = Field(
        default=0.95,
        gt=0,
        le=1,
        description="Draw from the fewest tokens whose probabilities reach this sum (the report's "
        "0.95), of equally probable ones from the first in the vocabulary; 1 draws from all.",
    )
    top_k: int = Field(
        default=0,
        ge=0,
        description="Draw from this many most probable tokens, of equally probable ones from the "
        "first in the vocabulary; 0 draws from all.",
    )
    max_new_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Tokens at which a completion is cut off; when left out what "
        "max_prompt_length leaves of 2048, or of what the model can take if that is less.",
    )
    max_prompt_length: int | None = Field(
        default=None,
        ge=1,
        description="Most tokens of the prompt; when left out 1024, or half of what the model can "
        "take if that is less, as in training.",
    )
    batch_size: int = Field(
        default=32,
        ge=1,
        description="Prompts answered at a time. It can change samples by rounding, so it is "
        "part of what the samples are stored under.",
    )
    template: str | None = Field(
        default=None,
        description="Chat template: tulu or Jinja; the tokenizer's own when left out.",
    )
    template_date: Annotated[str | None, AfterValidator(date_or_none), Added()] = Field(
        default=None,
        description="The date that a chat template is told when it asks for today's, as in "
        "2025-01-01; when left out what the model was trained with, else 2025-01-01.",
    )
    content_tokens: Annotated[list[str] | None, Added()] = Field(
        default=None,
        description="Added tokens that content may hold, beside those that are neither special nor "
        "marks of turns; with a minus in front, that it may not. When left out what the model was "
        "trained with.",
    )
    pretemplated: Annotated[bool, Added()] = Field(
        default=False,
        description="Whether a chat template was applied to prompts and completions beforehand: "
        "they are then tokenised as they stand.",
    )
    template_mismatch: Annotated[Literal["error", "drop"], Added()] = Field(
        default="error",
        description="What becomes of a row that the template cannot write: an error, or it is "
        "dropped and counted.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Of weights and computation; auto is bfloat16 on a GPU that has it, else "
        "float32.",
    )
    device: Annotated[Literal["auto", "cpu", "cuda"], Execution()] = Field(
        default="auto", description="Where to compute; auto is a GPU where there is one."
    )

    def mistakes(self) -> Sequence[tuple[str, str]]:
        """Returns options that have no effect when the most probable token is taken."""
        if self.temperature == 0:
            return self._idle("temperature is 0", ("top_p", "top_k"))
        return self._idle("top_k is 1", ("temperature", "top_p")) if self.top_k == 1 else []

    def _idle(self, where: str, options: Sequence[str]) -> list[tuple[str, str]]:
        return [
            (option, f"has no effect when {where}; leave it out")
            for option in options
            if getattr(self, option) != type(self).model_fields[option].default
        ]

    def view_rows(self, option: str, inputs: Inputs) -> Sequence[TokenView]:
        """Returns prompts as the model sees them."""
        from halo_trainer.sample.look_ahead import view_prompts

        return view_prompts(self._recipe(), inputs)

    def check_inputs(self, inputs: Inputs) -> Sequence[tuple[str, str]]:
        """Returns what of the options does not suit the model and the prompts."""
        from halo_trainer.sample.look_ahead import sampling_mistakes

        return sampling_mistakes(self._recipe(), inputs)

    def run(self, context: StageContext) -> StageResult:
        """Answers the prompts, or goes on behind the last whole batch.

        Raises:
            UserError: When the data have no prompts, or the model cannot be used.
            NotFiniteError: When no token can be drawn from the model's logits.
            Interrupted: When asked to stop; the whole batches are kept.
        """
        from halo_trainer.sample.answer_prompts import sample

        return sample(self._recipe(), context)

    def _recipe(self) -> SampleRecipe:
        from halo_trainer.sample.answer_prompts import SampleRecipe
        from halo_trainer.sample.generate import Choice

        return SampleRecipe(
            n=self.n,
            choice=Choice(self.temperature, self.top_p, self.top_k),
            max_new_tokens=self.max_new_tokens,
            max_prompt_length=self.max_prompt_length,
            batch_size=self.batch_size,
            template=self.template,
            chat=ChatOptions(
                template_date=self.template_date,
                content_tokens=None if self.content_tokens is None else tuple(self.content_tokens),
                pretemplated=self.pretemplated,
                template_mismatch=self.template_mismatch,
            ),
            precision=self.precision,
            device=self.device,
        )
