"""The options of an endpoint that writes completions."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

VARIABLE = "^[A-Z_][A-Z0-9_]*$"
"""Pattern of the name of a key's variable."""
_VARIABLE = re.compile(VARIABLE)


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
        expected = "expected an address such as http://localhost:8000/v1"
        if not value.isprintable() or " " in value:
            raise ValueError(f"it has a blank or a character that cannot be printed; {expected}")
        try:
            parts = urlsplit(value)
            port = parts.port
        except ValueError:  # The message does not repeat it: it may have a password.
            raise ValueError(f"its host or its port is not valid; {expected}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
            raise ValueError(expected)
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "an address holds no key, user, query or fragment: put the key into the "
                "environment variable that api_key_env names"
            )
        return value


def variable_name(value: object) -> object:
    """Checks an option and returns its value, the name of a key's variable.

    Raises:
        ValueError: When it is not a name. The message does not repeat it, since it may be the key.
    """
    if value is None or (isinstance(value, str) and _VARIABLE.fullmatch(value)):
        return value
    raise ValueError(
        "expected the name of an environment variable in capitals, such as OPENAI_API_KEY, and not "
        "the key itself; leave it out for a server that needs no key"
    )
