"""Completions from an OpenAI-compatible server, one request for each."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halo_core.endpoints.bounded_reads import tracer
from halo_core.endpoints.deadline import Deadline
from halo_core.endpoints.proxies import check_socks, proxy_of, unusable_proxy
from halo_core.endpoints.sent_headers import drop_foreign_headers
from halo_core.errors import UserError
from halo_core.hashing import short_hash
from halo_core.printing import shortened
from halo_core.redact import HIDDEN, redact
from halo_core.sampling import Sampling
from halo_trainer.sample.endpoint_options import EndpointOptions
from halo_trainer.sample.sampler import Generated

TIMEOUT_S = 600.0
"""Largest number of seconds from the beginning of a request to the last byte of its answer."""

RETRIES = 4
"""Number of times that the client sends a request again: after 408, 409, 429, 5xx, lost ones."""

SHOWN = 60
"""Largest number of characters of a wrong value in a message."""

NO_KEY = "none"
"""Key for servers that need none, because the client always sends one."""


HIGHEST_LOGP = 1e-3
"""Largest log-probability that counts as one, because rounding can put that of 1 above 0."""

LARGEST_NUMBER = 1e30
"""Size from which a log-probability counts as not finite."""


class NotSent(Exception):
    """A request was not sent, or not sent again, because the stage stops."""


@dataclass(frozen=True)
class Asked:
    """The parts of all requests of a stage.

    Attributes:
        endpoint: The server.
        choice: How the next token is chosen.
        ends: Ids of the tokens that end a completion, beginning with the one that is trained.
        max_new_tokens: Length at which a completion is cut off.
        seed: Seed of the run.
        tokenizer: The tokenizer of the model.
        vocabulary: Number of the model's token ids.
    """

    endpoint: EndpointOptions
    choice: Sampling
    ends: Sequence[int]
    max_new_tokens: int
    seed: int
    tokenizer: Any
    vocabulary: int

    def body(self, prompt_id: str, ids: Sequence[int], sample: int) -> dict[str, Any]:
        """Returns the request for a completion, as the arguments of the client.

        The same sample always has the same Idempotency-Key. A server or gateway that supports it
        repeats an answer that was lost, and does not charge for it again.

        Args:
            prompt_id: Id of the prompt.
            ids: Its token ids.
            sample: Number of the completion among those of the prompt, from 0.
        """
        text = self.endpoint.prompts == "text"
        body = {
            "model": self.endpoint.model,
            "prompt": self.tokenizer.decode(ids) if text else list(ids),
            "max_tokens": self.max_new_tokens,
            "temperature": self.choice.temperature,
            "top_p": self.choice.top_p,
            "seed": seed_of(self.seed, prompt_id, sample),
        }
        if self.endpoint.server == "vllm":
            body["logprobs"] = 0
            body["extra_body"] = {
                "top_k": self.choice.top_k,
                "stop_token_ids": list(self.ends),
                "return_token_ids": True,
                "skip_special_tokens": False,
                "add_special_tokens": False,
                # A vLLM server takes values that are left out from the model's
                # generation_config.json. The probabilities would then be other ones.
                "repetition_penalty": 1.0,
                "min_p": 0.0,
            }
        content = json.dumps([prompt_id, sample, body], sort_keys=True)
        return body | {"extra_headers": {"Idempotency-Key": short_hash(content, 64)}}

    def generated(self, answer: Mapping[str, Any], ids: Sequence[int]) -> Generated:
        """Returns the completion in a server's answer.

        Args:
            answer: The answer to a request.
            ids: Token ids of the prompt.

        Raises:
            UserError: When the answer has no completion or is malformed, when it has token ids that
                the model does not have, or when the server changed the prompt.
        """
        choices = answer.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        finish = choice.get("finish_reason") if isinstance(choice, Mapping) else None
        if choice is None or finish not in ("stop", "length"):
            raise UserError(
                f"the server's answer has {'no choice' if choice is None else repr(finish)}; "
                "expected a choice whose finish_reason is stop or length"
            )
        seen = self._ids(choice, "prompt_token_ids")
        if self.endpoint.prompts == "ids" and seen is not None and seen != list(ids):
            raise UserError(
                f"the server answered a prompt of {len(seen)} tokens that is not the prompt of "
                f"{len(ids)} tokens that it was sent; expected the same token ids"
            )
        tokens = self._ids(choice, "token_ids")
        if tokens is None:
            text = choice.get("text")
            if not isinstance(text, str):
                raise _malformed("text", text, "a text")
            return Generated(None, finish, None, text)
        return generated_from(tokens, _logps(choice.get("logprobs")), finish, self.ends)

    def _ids(self, choice: Mapping[str, Any], field: str) -> list[int] | None:
        """Returns token ids of the model; None if the server gave none."""
        ids = choice.get(field)
        if ids is None:
            return None
        if not isinstance(ids, list) or not all(type(each) is int for each in ids):
            raise _malformed(field, ids, "a list of whole numbers")
        strange = next((each for each in ids if not 0 <= each < self.vocabulary), None)
        if strange is not None:
            raise UserError(
                f"the server's answer has the token id {strange}; expected 0 to "
                f"{self.vocabulary - 1}, those of the model under `from`. Does the server serve "
                "another model?"
            )
        return ids


def _logps(logprobs: Any) -> list[float | None] | None:
    if logprobs is None:
        return None
    values = logprobs.get("token_logprobs") if isinstance(logprobs, Mapping) else logprobs
    if values is None:
        return None
    if not isinstance(values, list) or not all(
        each is None or type(each) in (int, float) for each in values
    ):
        raise _malformed("logprobs", logprobs, "token_logprobs with a list of numbers")
    return values


def _malformed(field: str, value: object, expected: str) -> UserError:
    return UserError(
        f"the server's answer has {shortened(repr(value), SHOWN)} as {field}; expected {expected}. "
        "For a server that is not vLLM, write server: other"
    )


def generated_from(
    tokens: Sequence[int], logps: Sequence[float | None] | None, finish: Any, ends: Sequence[int]
) -> Generated:
    """Returns a completion from the token ids of another engine.

    Args:
        tokens: The token ids, perhaps with the token that ended the completion.
        logps: Log-probability of each, nats; None if they are not known.
        finish: Why it ended.
        ends: Ids of the tokens that end a completion, beginning with the one that is trained.

    Returns:
        The completion. If some log-probabilities cannot be used, it has none, and the reason.

    Raises:
        UserError: When it ended in another way than by itself or by its length.
    """
    if finish not in ("stop", "length"):
        raise UserError(f"a completion ended with {finish!r}; expected stop or length")
    made = list(tokens[:-1] if tokens and tokens[-1] in ends else tokens)
    # Training ends a completion with the first of the ends, whichever was drawn.
    wanted = len(made) + (bool(tokens) and tokens[-1] == ends[0])
    known, reason = _known(logps, len(tokens))
    return Generated(made, finish, None if known is None else known[:wanted], unusable=reason)


def _known(logps: Sequence[float | None] | None, count: int) -> tuple[list[float] | None, str]:
    """Returns the log-probabilities of all tokens; None if they cannot be used, and why."""
    if logps is None:
        return None, ""
    if len(logps) != count:
        return None, "their number is not that of the tokens"
    known = [value for value in logps if value is not None]
    if len(known) < count:
        return None, "some are null"
    # This holds for NaN too, and for whole numbers that are too large for a float.
    if not all(abs(value) < LARGEST_NUMBER for value in known):
        return None, "some are not finite"
    return (None, "some are above 0") if max(known, default=0) > HIGHEST_LOGP else (known, "")


def seed_of(seed: int, prompt_id: str, sample: int) -> int:
    """Returns the seed of a request, which depends only on the run's seed, prompt and sample."""
    digest = hashlib.sha256(f"endpoint/{seed}/{prompt_id}/{sample}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


class Endpoint:
    """A connection to a server, which can be used by several threads.

    Args:
        url: The server's address.
        api_key_env: The environment variable of the key; None for no key.
        stopped: Whether the stage stops. Then nothing is sent, also not again.

    Raises:
        UserError: When the variable is not set, the package `openai` is missing, or a proxy of the
            environment cannot be used.
    """

    def __init__(self, url: str, api_key_env: str | None, stopped: Callable[[], bool]) -> None:
        try:
            import httpcore2
            import openai
        except ModuleNotFoundError as error:
            raise UserError(
                f"needs the package openai ({error}): pip install 'halo-trainer[endpoint]'",
                location="endpoint",
            ) from None
        self._key = NO_KEY if api_key_env is None else os.environ.get(api_key_env, "").strip()
        if not self._key:
            raise UserError(
                f"the environment variable {api_key_env} is not set. Set it to the key of {url}, "
                "or leave api_key_env out for a server that needs no key",
                location="api_key_env",
            )
        self._url = url
        self._stopped = stopped
        self._errors = openai.OpenAIError
        self._deadline = Deadline(TIMEOUT_S)
        self._trace = tracer(self._deadline, httpcore2.ReadTimeout)
        check_socks(url, "socksio", "httpx2[socks]", "endpoint")
        self._client = openai.OpenAI(
            api_key=self._key,
            base_url=url,
            timeout=TIMEOUT_S,
            max_retries=RETRIES,
            http_client=self._http_client(),
        )

    def _http_client(self) -> Any:
        import httpx2
        import openai

        # A redirect is not followed, because the prompts and the key would go elsewhere.
        options: dict[str, Any] = {"follow_redirects": False}
        options["event_hooks"] = {"request": [self._before]}
        try:
            return openai.DefaultHttpxClient(**options)
        except (ImportError, ValueError, httpx2.InvalidURL) as error:
            # The client makes a connection for each proxy of the environment, needed or not.
            if (proxy := proxy_of(self._url)) is not None:
                why = f"cannot be used ({redact(str(error))})"
                raise unusable_proxy(proxy, why, "endpoint") from None
            direct = httpx2.HTTPTransport(limits=openai.DEFAULT_CONNECTION_LIMITS)
            return openai.DefaultHttpxClient(**options, transport=direct)

    def _before(self, request: Any) -> None:
        if self._stopped():
            # The client sends a request again after other errors than those of its own class.
            raise self._errors("stopped") from NotSent()
        drop_foreign_headers(request, self._key)
        self._deadline.begin()
        request.extensions["trace"] = self._trace

    def ask(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the answer to a request.

        Args:
            body: The request, see `Asked.body`.

        Raises:
            NotSent: When the stage stops before the request is sent, or sent again.
            UserError: When there is none after some attempts. The key is not in the message.
        """
        try:
            answer: dict[str, Any] = self._client.completions.create(**body).to_dict(warnings=False)
        except self._errors as error:
            if isinstance(error.__cause__, NotSent):
                raise error.__cause__ from None
            cause = f" ({error.__cause__})" if error.__cause__ else ""
            words = f"{self._url}: {error}{cause}"
            raise UserError(self._hidden(words)) from None
        except (ValueError, AttributeError, TypeError) as error:
            words = f"{self._url}: the answer is not a completion ({error})"
            raise UserError(self._hidden(words)) from None
        return answer

    def close(self) -> None:
        """Closes all connections."""
        self._client.close()

    def _hidden(self, text: str) -> str:
        return text if self._key == NO_KEY else text.replace(self._key, HIDDEN)
