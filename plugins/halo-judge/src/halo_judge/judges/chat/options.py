"""The judge `gpt-4`: any model of an OpenAI-compatible endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from halo_core.finding import Requirement
from halo_core.judge import Beside, Comparison, Judge, JudgeContext, JudgeSession, Quote
from halo_core.option_markers import Execution, Location
from halo_judge.judges.endpoint.endpoint_options import AtOnce, KeyVariable, Retries, Seconds
from halo_judge.judges.endpoint.secret import address_parts, check_without_key, key_needed

if TYPE_CHECKING:
    from halo_judge.judges.chat.prices import Price
    from halo_judge.judges.chat.request_form import RequestForm
    from halo_judge.judges.chat.template import Template


class GPT4(Judge):
    """Asks a chat model which of two texts is better. Paid requests are never repeated.

    The key only comes from an environment variable.
    """

    citation: ClassVar[str | None] = (
        "Zheng et al. 2023, Judging LLM-as-a-judge with MT-Bench and Chatbot Arena"
    )
    prompts_at_once: ClassVar[int] = 4096

    model: str = Field(
        default="gpt-4-0613", min_length=1, description="The model's name at the endpoint."
    )
    base_url: str = Field(
        default="https://api.openai.com/v1",
        description="Address of the OpenAI-compatible endpoint, without a key.",
    )
    template: str = Field(
        default="pairwise-2",
        description="Name of a built-in template: pairwise-2, pairwise-1 or report-2024.",
    )
    template_file: Annotated[str | None, Location()] = Field(
        default=None, description="Your own template in TOML; takes precedence over `template`."
    )
    temperature: float | None = Field(
        default=0.0,
        ge=0,
        le=2,
        description="Sampling temperature (0 in the report). Null omits it, for models that do not "
        "accept one.",
    )
    max_tokens: int = Field(
        default=400,
        ge=1,
        description="Maximum number of tokens of a reply, including the model's thoughts.",
    )
    token_limit_parameter: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens",
        description="Name of `max_tokens` in the request: newer models only accept "
        "max_completion_tokens.",
    )
    weighted: bool = Field(
        default=False,
        description="Whether to ask for log-probabilities and record the judge's certainty.",
    )
    top_logprobs: int = Field(
        default=5,
        ge=2,
        le=20,
        description="With `weighted`, number of log-probabilities per token.",
    )
    api_key_env: KeyVariable = "OPENAI_API_KEY"
    concurrency: AtOnce = 16
    timeout_s: Seconds = 120.0
    retries: Retries = 6
    max_cost: Annotated[float | None, Execution()] = Field(
        default=None, gt=0, description="Maximum dollars that the stage may spend in all its runs."
    )
    prices: Annotated[str | None, Location()] = Field(
        default=None,
        description="A JSON file of prices, which takes precedence over the built-in table.",
    )

    @field_validator("base_url")
    @classmethod
    def _plain_address(cls, value: str) -> str:
        parts = address_parts(value, example="https://api.openai.com/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "an address holds no key, user or query: put the key into the environment "
                "variable that api_key_env names"
            )
        return value.rstrip("/")

    @model_validator(mode="after")
    def _address_without_the_key(self) -> GPT4:
        check_without_key("base_url", self.base_url, self.api_key_env)
        return self

    @model_validator(mode="after")
    def _files_are_there(self) -> GPT4:
        self.read_template()
        if self.price() is None and self.max_cost is not None:
            raise ValueError(
                f"max_cost needs the price of {self.model!r}, which is not in the table: give "
                'prices, a JSON file {"models": {"NAME": {"input": 30.0, "output": 60.0}}}, '
                "dollars per million tokens"
            )
        return self

    def read_template(self) -> Template:
        """Returns the template.

        Raises:
            ValueError: When the file is missing or is not a template.
        """
        from halo_judge.judges.chat.template import find_template

        return find_template(self.template, self.template_file)

    def price(self) -> Price | None:
        """Returns the price of the model; None if no table has it.

        Raises:
            ValueError: When the file of prices is missing or invalid.
        """
        from halo_judge.judges.chat.prices import find_price

        return find_price(self.model, self.prices)

    def file_digests(self) -> Mapping[str, str]:
        """Returns the hash of the template, because an edited template gives another result."""
        return {"template": self.read_template().digest}

    def reads_beside(self) -> frozenset[Beside]:
        """Returns all parts, because the template contains thoughts, calls and tools as text."""
        return frozenset({"tools", "fields"})

    def needed_here(self) -> list[Requirement]:
        """Returns the package that sends requests, and the variable with the key."""
        package = Requirement("package", "openai", "pip install 'halo-judge[openai]'")
        return [package, *key_needed(self.api_key_env)]

    def check_ready(self) -> None:
        """Checks that the key exists.

        Raises:
            UserError: When it does not.
        """
        from halo_judge.judges.endpoint.secret import read_key

        read_key(self.api_key_env, "the judge gpt-4")

    def open(self, context: JudgeContext) -> AbstractContextManager[JudgeSession]:
        """Returns a session that saves its replies in the shared folder and never pays twice.

        Raises:
            UserError: When the key or the package `openai` is missing.
        """
        from halo_judge.judges.chat.chat_session import open_session

        return open_session(
            self._request_form(),
            context.folder,
            context.shared,
            api_key_env=self.api_key_env,
            concurrency=self.concurrency,
            timeout_s=self.timeout_s,
            retries=self.retries,
            weighted=self.weighted,
            price=self.price(),
            max_cost=self.max_cost,
            warn=context.warn,
        )

    def quote(self, comparisons: Sequence[Comparison], shared: Path) -> Quote:
        """Returns the number of requests for the comparisons, and their approximate cost."""
        from halo_judge.judges.chat.prices import price_source, quote

        source = price_source(self.model, self.prices)
        form = self._request_form()
        return quote(form, comparisons, shared, price=self.price(), source=source)

    def _request_form(self) -> RequestForm:
        from halo_judge.judges.chat.request_form import RequestForm

        parameters: dict[str, Any] = {self.token_limit_parameter: self.max_tokens}
        if self.temperature is not None:
            parameters["temperature"] = self.temperature
        if self.weighted:
            parameters |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        template = self.read_template()
        return RequestForm(self.base_url, self.model, parameters, self.max_tokens, template)
