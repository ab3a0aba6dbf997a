"""The cost of requests, from the user's file of prices or the table `prices.json`, and quotes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from halo_core.judge import Comparison, Quote
from halo_judge.judges.chat.option_file import bytes_of
from halo_judge.judges.chat.template import says_the_same
from halo_judge.judges.endpoint.replies import request_key, stored_keys

if TYPE_CHECKING:
    from halo_judge.judges.chat.request_form import RequestForm

SHIPPED = Path(__file__).parent / "prices.json"
BYTES_PER_TOKEN = 4
"""Approximate bytes per token of English in UTF-8, used if the endpoint has not counted."""
TOKENS_PER_MESSAGE = 16
"""Maximum number of tokens that a chat format adds to a message."""


class Price(BaseModel):
    """Dollars per million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: float = Field(ge=0, allow_inf_nan=False)
    output: float = Field(ge=0, allow_inf_nan=False)

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        """Returns the cost in dollars.

        >>> Price(input=30, output=60).cost(1000, 100)
        0.036
        """
        return (tokens_in * self.input + tokens_out * self.output) / 1e6


class PriceTable(BaseModel):
    """A price file: `models` maps a model's exact name to its price."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str = ""
    as_of: str = ""
    models: Mapping[str, Price]


def find_price(model: str, file: str | None = None) -> Price | None:
    """Returns the price of a model, from the user's file or else from the shipped one.

    Raises:
        ValueError: When the user's file is not there or is not a table of prices.
    """
    tables = [_read(Path(file))] if file is not None else []
    for table in (*tables, _read(SHIPPED)):
        if model in table.models:
            return table.models[model]
    return None


def price_source(model: str, file: str | None = None) -> str:
    """Returns the source and date of a model's price; an empty text if there is no price.

    >>> price_source("gpt-4-0613")
    'prices shipped with halo-judge, of 2025-06: check them, or give your own with prices'

    Raises:
        ValueError: When the user's file is missing or is not a table of prices.
    """
    if file is not None and model in (own := _read(Path(file))).models:
        return f"prices of {Path(file).name}" + (f", of {own.as_of}" if own.as_of else "")
    shipped = _read(SHIPPED)
    if model not in shipped.models:
        return ""
    return (
        f"prices shipped with halo-judge, of {shipped.as_of}: check them, or give your own with "
        "prices"
    )


def _read(path: Path) -> PriceTable:
    content = bytes_of(path, "a file of prices")
    try:
        return PriceTable.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(
            f"{path}: {where}: {first['msg']}; expected "
            '{"models": {"NAME": {"input": 30.0, "output": 60.0}}}, dollars per million tokens'
        ) from None


def quote(
    form: RequestForm,
    comparisons: Sequence[Comparison],
    shared: Path,
    *,
    price: Price | None,
    source: str,
) -> Quote:
    """Returns the requests that comparisons need, with their tokens and cost.

    Sent tokens are estimated as a quarter of the bytes. Replies count as `max_tokens`, which few
    reach. Second attempts are not counted.

    Args:
        form: The common part of the requests.
        comparisons: The comparisons to ask.
        shared: The folder of the replies.
        price: Price of the model; None if not known.
        source: Source of the price.
    """
    keys = stored_keys(shared, form.has_verdict) if comparisons else set()
    before, kept, tokens_in = len(keys), 0, 0
    for comparison in comparisons:
        shown = form.template.shown(comparison)
        request = form.request(shown)
        key = request_key(request)
        if says_the_same(shown) or key in keys:
            kept += 1
            continue
        keys.add(key)
        tokens_in += about_tokens(request["messages"])
    calls = len(keys) - before
    tokens_out = calls * form.max_tokens
    cost = None if price is None else price.cost(tokens_in, tokens_out)
    return Quote(calls, kept, tokens_in, tokens_out, cost, form.model, source)


def about_tokens(messages: Iterable[Mapping[str, str]]) -> int:
    """Returns the approximate number of tokens of messages: a quarter of their bytes."""
    return sum(_bytes(message) // BYTES_PER_TOKEN + TOKENS_PER_MESSAGE for message in messages)


def most_tokens(messages: Iterable[Mapping[str, str]]) -> int:
    """Returns the maximum number of tokens of messages: a token has at least one byte."""
    return sum(_bytes(message) + TOKENS_PER_MESSAGE for message in messages)


def _bytes(message: Mapping[str, str]) -> int:
    return len(message["content"].encode("utf-8", "surrogatepass"))
