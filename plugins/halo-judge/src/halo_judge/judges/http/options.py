"""The judge `http`: an endpoint that scores a completion, such as a toxicity detector."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from typing import Annotated, Any, ClassVar
from urllib.parse import parse_qsl

from pydantic import Field, field_validator, model_validator

from halo_core.finding import Requirement
from halo_core.judge import Beside, JudgeContext
from halo_core.option_markers import Execution
from halo_core.redact import is_secret
from halo_core.scoring_judge import ScoringJudge, ScoringSession
from halo_judge.judges.endpoint.endpoint_options import AtOnce, KeyVariable, Retries, Seconds
from halo_judge.judges.endpoint.secret import address_parts, check_without_key, key_needed


class HttpJudge(ScoringJudge):
    """Scores with a JSON endpoint. Replies are kept and not requested again.

    The key only comes from an environment variable.
    """

    prompts_at_once: ClassVar[int] = 4096

    url: str = Field(description="Address to send each completion to by POST, without a key.")
    score: str = Field(
        default="score",
        min_length=1,
        description="Path of the number in the reply: keys and list positions with dots between "
        "them, as in result.toxicity or 0.labels.1.score. A part such as label=toxic selects the "
        "item of a list by one of its fields, as in 0.label=toxic.score.",
    )
    body: dict[str, Any] = Field(
        default={"prompt": "{prompt}", "completion": "{completion}"},
        description="The JSON body to send. In its texts, {completion} is replaced by the "
        "completion and {prompt} by the prompt as one text. A text that is only {messages} becomes "
        "the prompt's list of messages, {conversation} this list with the completion at its end, "
        "and {tools} the list of tools that the prompt offers.",
    )
    api_key_env: KeyVariable = None
    api_key_header: Annotated[str, Execution()] = Field(
        default="Authorization", pattern="^[A-Za-z0-9-]+$", description="The header of the key."
    )
    api_key_prefix: Annotated[str, Execution()] = Field(
        default="Bearer ", description="Text before the key in its header."
    )
    concurrency: AtOnce = 8
    timeout_s: Seconds = 60.0
    retries: Retries = 5

    @field_validator("url")
    @classmethod
    def _plain_address(cls, value: str) -> str:
        parts = address_parts(value, example="https://host/score")
        names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
        secret = any(is_secret(name) or name.lower() in ("key", "token") for name in names)
        if parts.username or parts.password or secret:
            raise ValueError(
                "an address holds no key or user: put the key into the environment variable that "
                "api_key_env names, and its header's name into api_key_header"
            )
        return value

    @field_validator("score")
    @classmethod
    def _is_a_path(cls, value: str) -> str:
        from halo_judge.judges.http.number_path import parts_of

        parts_of(value)
        return value

    @field_validator("body")
    @classmethod
    def _holds_the_completion(cls, value: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(value)
        if "{completion}" not in text and '"{conversation}"' not in text:
            raise ValueError("no text of it holds {completion}, or is {conversation}")
        return value

    @model_validator(mode="after")
    def _options_without_the_key(self) -> HttpJudge:
        for option in ("url", "body", "api_key_header", "api_key_prefix"):
            check_without_key(option, str(getattr(self, option)), self.api_key_env)
        return self

    def reads_beside(self) -> frozenset[Beside]:
        """Returns `fields`, and `tools` unless messages are sent without them."""
        text = json.dumps(self.body)
        messages = '"{messages}"' in text or '"{conversation}"' in text
        lacking = messages and "{prompt}" not in text and '"{tools}"' not in text
        return frozenset({"fields"} if lacking else {"fields", "tools"})

    def needed_here(self) -> list[Requirement]:
        """Returns the package that sends requests, and the variable with the key."""
        package = Requirement("package", "requests", "pip install 'halo-judge[http]'")
        return [package, *key_needed(self.api_key_env)]

    def check_ready(self) -> None:
        """Checks that the key exists.

        Raises:
            UserError: When it does not.
        """
        from halo_judge.judges.endpoint.secret import read_key

        read_key(self.api_key_env, "the judge http")

    def open_scoring(self, context: JudgeContext) -> AbstractContextManager[ScoringSession]:
        """Returns a session that saves its replies in the judge's own folder.

        Raises:
            UserError: When the key or the package `requests` is missing.
        """
        from halo_judge.judges.http.http_session import open_session

        return open_session(
            self.url,
            self.body,
            self.score,
            context.folder,
            api_key_env=self.api_key_env,
            key_header=self.api_key_header,
            key_prefix=self.api_key_prefix,
            concurrency=self.concurrency,
            timeout_s=self.timeout_s,
            retries=self.retries,
            warn=context.warn,
        )
