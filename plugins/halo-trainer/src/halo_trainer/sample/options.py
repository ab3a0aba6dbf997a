"""The options of the stage `sample`. `answer_prompts` does the work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator

from halo_core.finding import Requirement
from halo_core.option_markers import (
    ROUND,
    Added,
    Default,
    Execution,
    RoundNumber,
    StartRef,
    TestRef,
)
from halo_core.sampling import Sampling
from halo_core.stage import (
    Forecast,
    Inputs,
    Known,
    Product,
    Stage,
    StageContext,
    StageResult,
    Work,
)
from halo_core.token_view import TokenView
from halo_trainer.encode.chat_fields import (
    ContentTokens,
    Pretemplated,
    TemplateDate,
    TemplateMismatch,
    chat_options,
)
from halo_trainer.sample.endpoint_options import VARIABLE, EndpointOptions, variable_name
from halo_trainer.sample.forecast import Asked, sampling_forecast

if TYPE_CHECKING:
    from halo_trainer.sample.recipe import SampleRecipe


class Sample(Stage):
    """Samples a model's completions of prompts."""

    produces: ClassVar[Product] = "samples"

    from_: Annotated[StartRef | None, Default("previous")] = Field(
        default=None,
        alias="from",
        description="The model to sample: a stage's id, or `model`. If left out, the nearest "
        "earlier one, otherwise the spec's model.",
    )
    prompts: TestRef = Field(description="The data set whose prompts are answered.")
    n: int | None = Field(
        default=None,
        ge=1,
        description="Number of distinct prompts, drawn with the run's seed. All if left out.",
    )
    draw: Annotated[Annotated[int, Field(ge=0)] | Literal["round"], Added(), RoundNumber()] = Field(
        default=0,
        description="Number of the draw. Another number draws other random numbers, and other "
        "prompts if `n` is less than all. In rounds, `round` is the number of the round.",
    )
    temperature: float = Field(
        default=1.0, ge=0, description="Divisor of the logits. 0 takes the most probable token."
    )
    top_p: float = Field(
        default=0.95,
        gt=0,
        le=1,
        description="Draw from the fewest tokens whose probabilities reach this sum (0.95 in the "
        "report). Of equally probable tokens, the first in the vocabulary are taken. 1 draws from "
        "all tokens.",
    )
    top_k: int = Field(
        default=0,
        ge=0,
        description="Draw from this many most probable tokens. Of equally probable tokens, the "
        "first in the vocabulary are taken. 0 draws from all tokens.",
    )
    max_new_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Number of tokens at which a completion is cut off. If left out, it is 2048 or "
        "the model's context, whichever is less, minus max_prompt_length.",
    )
    max_prompt_length: int | None = Field(
        default=None,
        ge=1,
        description="Largest number of tokens of the prompt. If left out, it is 1024 or half of "
        "the model's context, whichever is less, as in training.",
    )
    samples_per_prompt: Annotated[int, Added()] = Field(
        default=1,
        ge=1,
        description="Number of completions of each prompt, which is computed once for all of them. "
        "Each has random numbers of its own, so the first is the one that would be drawn alone.",
    )
    batch_size: int = Field(
        default=32,
        ge=1,
        description="Number of prompts per batch. Finished batches are stored, and an interrupted "
        "stage continues after them. Rounding can make samples depend on it, so it is part of the "
        "key under which the samples are stored.",
    )
    tokens_at_once: Annotated[int | None, Execution()] = Field(
        default=None,
        ge=1,
        description="Largest number of tokens of prompts and completions in memory at once, where "
        "a completion counts with max_new_tokens. Prompts beyond it wait until others of the batch "
        "have ended. If left out, a whole batch. If memory runs out, it is halved.",
    )
    template: str | None = Field(
        default=None,
        description="Chat template: tulu or Jinja source. If left out, the tokenizer's own.",
    )
    template_date: TemplateDate = None
    content_tokens: ContentTokens = None
    pretemplated: Pretemplated = False
    template_mismatch: TemplateMismatch = "error"
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Precision of weights and computation. auto is bfloat16 on a GPU that supports "
        "it, otherwise float32.",
    )
    device: Annotated[Literal["auto", "cpu", "cuda"], Execution()] = Field(
        default="auto", description="Device to compute on. auto is a GPU if there is one."
    )

    processes: Annotated[int, Execution()] = Field(
        default=1,
        ge=1,
        le=1024,
        description="Number of processes that share the batches, usually one per GPU. On a CPU, "
        "each has one thread unless OMP_NUM_THREADS is set, and rounding can depend on that.",
    )
    engine: Annotated[Literal["transformers", "vllm"], Added()] = Field(
        default="transformers",
        description="Library that computes the completions in this process. vllm draws other "
        "random numbers, so its completions differ.",
    )
    endpoint: Annotated[EndpointOptions | None, Added()] = Field(
        default=None,
        description="A server that writes the completions, instead of this process. It draws other "
        "random numbers, so its completions differ.",
    )
    # The check of the name comes first, because the error of the pattern would show the key.
    api_key_env: Annotated[str | None, Execution(), BeforeValidator(variable_name)] = Field(
        default=None,
        pattern=VARIABLE,
        description="Environment variable with the key of the endpoint, such as OPENAI_API_KEY. If "
        "left out, the server needs no key.",
    )
    requests_at_once: Annotated[int, Execution()] = Field(
        default=8,
        ge=1,
        le=4096,
        description="Largest number of prompts that the endpoint is asked about at once.",
    )

    @field_validator("draw", mode="after")
    @classmethod
    def _is_a_number(cls, draw: int | str) -> int | str:
        if draw == ROUND:
            raise ValueError(
                "'round' is the number of the round, which only a stage in `rounds` has; give a "
                "number"
            )
        return draw

    def needed_here(self) -> Sequence[Requirement]:
        """Returns the packages of other engines, and the variable with the key of an endpoint."""
        if self.endpoint is None:
            wanted = Requirement("package", "vllm", "pip install vllm")
            return [wanted] if self.engine == "vllm" else []
        needed = [Requirement("package", "openai", "pip install 'halo-trainer[endpoint]'")]
        if self.api_key_env is not None:
            advice = f"set it to the key of the endpoint: {self.api_key_env}=..."
            needed.append(Requirement("variable", self.api_key_env, advice))
        return needed

    def draws_with(self) -> Sampling | None:
        """Returns how tokens are drawn; None for a server that is not vLLM."""
        return self._recipe().known_sampling

    def mistakes(self) -> Sequence[tuple[str, str]]:
        """Returns options without effect."""
        found = []
        if self.endpoint is None:
            found += self._idle("there is no endpoint", ("api_key_env", "requests_at_once"))
            if self.engine == "vllm":
                found += self._idle("engine is vllm", ("tokens_at_once", "device", "processes"))
        else:
            found += self._idle(
                "an endpoint samples",
                ("engine", "batch_size", "tokens_at_once", "precision", "device", "processes"),
            )
            if self.endpoint.server == "other":
                found += self._idle("endpoint.server is other", ("top_k",))
        if self.temperature == 0:
            found += self._idle("temperature is 0", ("top_p", "top_k", "samples_per_prompt"))
            if self.n is None:
                found += self._idle("temperature is 0 and n is left out", ("draw",))
        elif self.top_k == 1:
            found += self._idle("top_k is 1", ("temperature", "top_p", "samples_per_prompt"))
        return found

    def _idle(self, where: str, options: Sequence[str]) -> list[tuple[str, str]]:
        return [
            (option, f"has no effect when {where}; leave it out")
            for option in options
            if getattr(self, option) != type(self).model_fields[option].default
        ]

    def work(self, known: Known) -> Work | None:
        """Returns the number of prompts, for stages that sample alike."""
        rows = known.rows.get("prompts")
        prompts = self.n if rows is None else min(self.n or rows, rows)
        kind = f"sample {self.max_new_tokens} tokens, {self.batch_size} at a time"
        return None if prompts is None else Work(kind, prompts * self.samples_per_prompt)

    def forecast(self, known: Known) -> Forecast:
        """Returns what a device needs, whether it fits, the time, and what to change.

        A server and vLLM use the memory of devices in their own ways, which are not known here.
        """
        if self.endpoint is not None or self.engine == "vllm":
            return Forecast(weights=known.weights)
        rows = known.rows.get("prompts")
        prompts = self.n if rows is None else min(self.n or rows, rows)
        asked = Asked(
            self.precision,
            self.device,
            self.batch_size,
            self.samples_per_prompt,
            self.processes,
            self.tokens_at_once,
            self.max_prompt_length,
            self.max_new_tokens,
        )
        return sampling_forecast(asked, prompts, known)

    def view_rows(self, option: str, inputs: Inputs) -> Sequence[TokenView]:
        """Returns prompts as the model sees them."""
        from halo_trainer.sample.look_ahead import view_prompts

        return view_prompts(self._recipe(), inputs)

    def check_inputs(self, inputs: Inputs) -> Sequence[tuple[str, str]]:
        """Returns options that do not fit the model, the prompts, or the machine of a run."""
        from halo_trainer.sample.engine_here import lacking_here
        from halo_trainer.sample.look_ahead import sampling_mistakes

        option = "engine" if self.endpoint is None else "endpoint"
        lacking = lacking_here(self.needed_here(), option) if inputs.begins else []
        return [*lacking, *sampling_mistakes(self._recipe(), inputs)]

    def command(self, folder: Path) -> Sequence[str] | None:
        """Returns the command that starts the processes when there are several."""
        if self.processes == 1:
            return None
        from halo_trainer.launch import launch_command

        return launch_command(folder, self.processes)

    def run(self, context: StageContext) -> StageResult:
        """Answers the prompts, or continues after the last complete batch.

        Raises:
            UserError: When the data have no prompts, or the model cannot be used.
            NotFiniteError: When no token can be drawn from the model's logits.
            Interrupted: When asked to stop. Complete batches are kept, and each sample that a
                server answered.
        """
        from halo_trainer.sample.answer_prompts import sample

        return sample(self._recipe(), context)

    def _recipe(self) -> SampleRecipe:
        from halo_trainer.sample.recipe import SampleRecipe

        return SampleRecipe(
            n=self.n,
            draw=int(self.draw),
            choice=Sampling(self.temperature, self.top_p, self.top_k),
            max_new_tokens=self.max_new_tokens,
            max_prompt_length=self.max_prompt_length,
            samples_per_prompt=self.samples_per_prompt,
            batch_size=self.batch_size,
            tokens_at_once=self.tokens_at_once,
            template=self.template,
            chat=chat_options(self),
            precision=self.precision,
            device=self.device,
            processes=self.processes,
            engine=self.engine,
            endpoint=self.endpoint,
            api_key_env=self.api_key_env,
            requests_at_once=self.requests_at_once,
        )
