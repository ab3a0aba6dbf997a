"""The options of an endpoint that writes completions."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator


class EndpointOptions(BaseModel):
    """An OpenAI-compatible server that serves the model of `from` for completions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    url: str = Field(
        description="Address of the server up to and with /v1, without a key: "
        "http://localhost:8000/v1."
    )
    model: str = Field(
        min_length=1,
        description="Name under which the server serves the model of `from`. halo cannot check "
        "that it is the same model.",
    )
    server: Literal["vllm", "other"] = Field(
        "vllm",
        description="Fields of the requests. vllm: also those of vLLM, so that token ids and "
        "log-probabilities come back. other: only those of OpenAI; the text comes back.",
    )
    prompts: Literal["ids", "text"] = Field(
        "ids",
        description="Form of the prompts. text is for servers that take no token ids; their "
        "tokenizer may encode the text in another way.",
    )

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected an address such as http://localhost:8000/v1")
        if parts.username or parts.password or parts.query:
            raise ValueError(
                "an address holds no key, user or query: put the key into the environment variable "
                "that api_key_env names"
            )
        return value
