"""Any tokenizer, any template, any text: the ids are the tokenizer's own, and text stays text."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings, strategies as st

from halo_models.chat_encoder import ChatEncoder, ChatRow, EncodedPrompt, EncodedRow
from halo_models.chat_format import ChatFormat
from halo_models.conversation import DIFFERS, SPELLS, STRADDLES, Answer, Conversation
from halo_models.templates import TULU_2, render
from halo_models.testing import KINDS, Kind, make_chat_tokenizer
from halo_models.tokenise import CUT

TEMPLATES = yaml.safe_load((Path(__file__).parent / "template_kinds.yaml").read_text())
BY_NAME = {template["name"]: template for template in TEMPLATES}
STRIPS = ("Phi-3",)
"""Templates whose marks include adjacent white space, so that it cannot be decoded again."""

WORDS = (
    *("The cow", " says moo", ".", " ", "  ", "\n", "\n\n", "\t", "assistant", "user", ":", "###"),
    *("\N{COW FACE}", "e\N{COMBINING ACUTE ACCENT}", "\N{COMBINING LONG SOLIDUS OVERLAY}", "中"),
    *(
        "<",
        "|",
        ">",
        "</",
        "<|",
        "|>",
        "<|im_",
        "end|>",
        "[INST",
        "<thi",
        "nk>",
        "\u2581",
        "<0x0A>",
    ),
)
"""Parts of contents, without the texts of added tokens."""


@cache
def formatted(kind: Kind, name: str) -> tuple[Any, ChatFormat]:
    """Returns a tokenizer of a kind with a template, and its chat options."""
    from tokenizers import AddedToken

    template = BY_NAME[name]
    special = [t if isinstance(t, dict) else {"content": t} for t in template.get("special", ())]
    text = template["template"]
    tokenizer = make_chat_tokenizer(
        kind,
        TULU_2 if text == "tulu" else text,
        eos=template.get("eos", "<eos>"),
        bos=template.get("bos"),
        added=[*(AddedToken(**t, special=True) for t in special), *template.get("plain", ())],
        writes_bos="bos" in template,
    )
    return tokenizer, ChatFormat(tokenizer)


@st.composite
def rows(draw: st.DrawFn, *, spelled: bool) -> tuple[Kind, str, Conversation, Answer]:
    """Draws a tokenizer, a template, and a row; `spelled` rows contain added tokens as text."""
    kind = draw(st.sampled_from(KINDS))
    name = draw(st.sampled_from(sorted(BY_NAME)))
    tokenizer, chat = formatted(kind, name)
    protected = chat.tokeniser.protected
    tokens = sorted(tokenizer.get_added_vocab())
    free = [token for token in tokens if not protected.search(token)]
    words = st.sampled_from([*WORDS, *free, *(tokens * 3 if spelled else ())])
    contents = st.lists(words, max_size=6).map("".join)
    if not spelled:
        contents = contents.filter(lambda content: not protected.search(content))
    turns = draw(st.sampled_from([1, 3]))
    prompt: Any = [
        {"role": ("user", "assistant")[turn % 2], "content": draw(contents)}
        for turn in range(turns)
    ]
    return kind, name, Conversation(prompt), Answer(draw(contents), ended=draw(st.booleans()))


def encoded(chat: ChatFormat, conversation: Conversation, answer: Answer) -> EncodedRow:
    (row,) = ChatEncoder(chat, 10_000).rows([ChatRow("p", conversation, (answer,))])
    assert isinstance(row, EncodedRow)
    return row


def native(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def check_end(chat: ChatFormat, row: EncodedRow, answer: Answer) -> None:
    ids = row.answers[0].ids
    assert ids.count(chat.end_id) == answer.ended
    assert row.answers[0].ended == answer.ended
    assert not answer.ended or ids[-1] == chat.end_id


@settings(max_examples=250, deadline=None, derandomize=True)
@given(rows(spelled=False))
def test_ids_are_the_tokenizers_own_of_what_the_template_writes(
    drawn: tuple[Kind, str, Conversation, Answer],
) -> None:
    kind, name, conversation, answer = drawn
    tokenizer, chat = formatted(kind, name)
    rendered = chat.answer_text(conversation, answer)
    row = encoded(chat, conversation, answer)
    remarks = row.answers[0].remarks
    assert SPELLS not in remarks
    full = render(tokenizer, [*conversation.prompt, answer.message], answer_follows=False)
    text = rendered.prompt + rendered.trained
    assert full.startswith(text)
    ids = [*row.prompt_ids, *row.answers[0].ids]
    if answer.ended and not rendered.ends:
        assert ids.pop() == chat.end_id
    own = native(tokenizer, text)
    if STRADDLES not in remarks:
        assert ids == own
    if rendered.ends and STRADDLES not in remarks:
        assert native(tokenizer, full)[: len(ids)] == ids
    if kind != "unigram":
        assert tokenizer.decode(ids) == tokenizer.decode(own)
    if kind.startswith("bytes") and name not in STRIPS:
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode(row.prompt_ids) == rendered.prompt
    check_end(chat, row, answer)


@settings(max_examples=250, deadline=None, derandomize=True)
@given(rows(spelled=True))
def test_spelled_tokens_are_letters_and_all_others_stay(
    drawn: tuple[Kind, str, Conversation, Answer],
) -> None:
    kind, name, conversation, answer = drawn
    tokenizer, chat = formatted(kind, name)
    rendered = chat.answer_text(conversation, answer)
    row = encoded(chat, conversation, answer)
    text = (rendered.prompt + rendered.trained).replace(CUT, "")
    ids = [*row.prompt_ids, *row.answers[0].ids]
    if answer.ended and not rendered.ends:
        assert ids.pop() == chat.end_id
    own = native(tokenizer, text)
    check_end(chat, row, answer)
    vocabulary = tokenizer.get_vocab()
    protected = {vocabulary[token] for token in tokenizer.get_added_vocab()}
    protected = {i for i in protected if chat.tokeniser.protected.fullmatch(_string(tokenizer, i))}
    # The template writes the same text around every content.
    marked = chat.tokeniser.protected.findall(rendered.prompt + rendered.trained)
    unknown = tokenizer.convert_tokens_to_ids("<unk>")
    found = [_string(tokenizer, i) for i in ids if i in protected and i != unknown]
    assert found == [token for token in marked if token != "<unk>"]
    if STRADDLES not in row.answers[0].remarks:
        letters = f"[^{''.join(_letter(i) for i in protected - {unknown})}]+"
        pattern = "".join(
            f"(?:{re.escape(_letter(i))}|{letters})" if i in protected else re.escape(_letter(i))
            for i in own
        )
        assert re.fullmatch(pattern, "".join(map(_letter, ids)))
    if kind != "unigram" and name not in STRIPS:
        assert tokenizer.decode(ids) == tokenizer.decode(own)
    if kind.startswith("bytes") and name not in STRIPS:
        assert tokenizer.decode(ids) == text


def _string(tokenizer: Any, token: int) -> str:
    return str(tokenizer.convert_ids_to_tokens(token))


def _letter(token: int) -> str:
    return chr(0x10000 + token)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rows(spelled=True))
def test_prompts_are_the_same_when_an_answer_is_there(
    drawn: tuple[Kind, str, Conversation, Answer],
) -> None:
    kind, name, conversation, answer = drawn
    _, chat = formatted(kind, name)
    prompt = ChatEncoder(chat, 10_000).prompts({"p": conversation})["p"]
    assert isinstance(prompt, EncodedPrompt)
    row = encoded(chat, conversation, answer)
    if DIFFERS not in row.answers[0].remarks:
        assert row.prompt_ids == prompt.ids


@pytest.mark.parametrize("kind", KINDS)
def test_bos_of_a_post_processor_comes_once(kind: Kind) -> None:
    tokenizer, chat = formatted(kind, "Mistral")
    row = encoded(chat, Conversation([{"role": "user", "content": "Hi"}]), Answer("Moo."))
    ids = [*row.prompt_ids, *row.answers[0].ids]
    assert ids.index(tokenizer.bos_token_id) == 0
    assert ids.count(tokenizer.bos_token_id) == 1
