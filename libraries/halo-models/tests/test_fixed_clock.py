"""A template that asks for the date gets `template_date`, in any format."""

from __future__ import annotations

import json
import string
from datetime import datetime
from typing import Any

import pytest

from halo_models.conversation import ChatOptions
from halo_models.digests import template_digest, tokenizer_digest
from halo_models.templates import TEMPLATE_DATE, asks_for_date, render
from halo_models.testing import make_chat_tokenizer

DATES = ["2025-01-01", "2024-02-29", "1999-12-31", "2023-10-09"]
DIRECTIVES = [f"%{letter}" for letter in string.ascii_letters if letter != "s"]
UNPADDED = [f"%-{letter}" for letter in "dmyjHIMSUWVegklCGYbBaAp"]
MIXED = [
    *("%d %b %Y", "%Y-%m-%dT%H:%M:%S", "%-d.%-m.%-y", "%d%m%y", "on %A, the %-dth"),
    *("%%", "%%d", "%%%d", "%%%%d", "%%-d", "100%", "% d", "no directive", ""),
    *('a "quoted" %d', "a\\b %d", "line\n%d\n", "{{ %d }}", "%d \N{COW FACE}"),
]
USER = [{"role": "user", "content": "Hi"}]


def told(source: str, date: str) -> str:
    tokenizer = make_chat_tokenizer("bytes", source)
    return render(tokenizer, USER, answer_follows=False, template_date=date)


@pytest.mark.parametrize("date", DATES)
def test_clock_says_what_the_clock_of_python_would(date: str) -> None:
    formats = [*DIRECTIVES, *UNPADDED, *MIXED]
    midnight = datetime.fromisoformat(date)
    expected = [midnight.strftime(text) for text in formats]
    literal = "".join(
        f"[{{{{ strftime_now({json.dumps(text, ensure_ascii=False)}) }}}}]" for text in formats
    )
    assert told(literal, date) == "".join(f"[{text}]" for text in expected)
    # A format that is only known when the template is rendered.
    every = f"{{% for f in {json.dumps(formats, ensure_ascii=False)} %}}"
    listed = f"{every}[{{{{ strftime_now(f) }}}}]{{% endfor %}}"
    assert told(listed, date) == "".join(f"[{text}]" for text in expected)


def test_unknown_directives_stay_text() -> None:
    assert told("{{ strftime_now('%Q %! %') }}", TEMPLATE_DATE) == "%Q %! %"


def test_clock_is_defined_and_its_text_can_be_worked_with() -> None:
    source = (
        "{%- if strftime_now is defined %}{%- set year = strftime_now('%Y') | int %}"
        "{%- set parts = strftime_now('%d %b').split() %}{{- year - 1 }} {{ parts[1] }}"
        "{%- else %}never{% endif %}"
    )
    assert told(source, "2025-03-04") == "2024 Mar"


@pytest.mark.parametrize("begin", ["\n", "  ", " \n x", "\n\n", "x\n"])
def test_clock_leaves_the_white_space_of_a_template_as_it_is(begin: str) -> None:
    clock = f"{begin}{{{{ strftime_now('%Y') }}}}{{{{ messages[0].content }}}}"
    without = f"{begin}2025{{{{ messages[0].content }}}}"
    assert told(clock, "2025-01-01") == told(without, "2025-01-01")


def test_digest_holds_the_date_only_where_the_template_asks() -> None:
    asking = make_chat_tokenizer("bytes", "{{ strftime_now('%d') }}{{ messages[0].content }}")
    silent = make_chat_tokenizer("bytes", "{{ messages[0].content }}")
    assert asks_for_date(asking)
    assert not asks_for_date(silent)

    def digests(tokenizer: Any) -> set[str]:
        dates = (None, "2025-01-01", "2024-01-01")
        return {template_digest(tokenizer, ChatOptions(template_date=date)) for date in dates}

    # The default is a date, too.
    assert len(digests(asking)) == 2
    assert len(digests(silent)) == 1


def test_digest_holds_what_decides_the_text_of_a_prompt() -> None:
    tokenizer = make_chat_tokenizer("bytes", "{{ messages[0].content }}")
    other = make_chat_tokenizer("bytes", "{{ messages[0].content }}!")
    digests = [
        template_digest(tokenizer, ChatOptions()),
        template_digest(other, ChatOptions()),
        template_digest(tokenizer, ChatOptions(pretemplated=True)),
        template_digest(tokenizer, ChatOptions(content_tokens=("a",))),
        template_digest(tokenizer, ChatOptions(content_tokens=("-a",))),
    ]
    assert len({*digests}) == len(digests)
    dropped = ChatOptions(template_mismatch="drop", content_tokens=())
    assert template_digest(tokenizer, dropped) == digests[0]


def test_tokenizers_digest_outlasts_calls_and_a_folder(tmp_path: Any) -> None:
    from transformers import AutoTokenizer

    tokenizer = make_chat_tokenizer("bytes", added=["<a>"], bos="<s>", writes_bos=True)
    before = tokenizer_digest(tokenizer)
    tokenizer("The cow says moo.", truncation=True, max_length=2)
    assert tokenizer_digest(tokenizer) == before
    assert tokenizer.backend_tokenizer.truncation["max_length"] == 2
    tokenizer.save_pretrained(tmp_path)
    assert tokenizer_digest(AutoTokenizer.from_pretrained(tmp_path)) == before
    assert tokenizer_digest(make_chat_tokenizer("bytes", added=["<b>"])) != before
    tokenizer.add_tokens(["<c>"])
    assert tokenizer_digest(tokenizer) != before
