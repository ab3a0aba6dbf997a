"""The trained tokens under each kind of chat template in use: `template_kinds.yaml`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from halo_models.chat_encoder import ChatEncoder, ChatRow, EncodedRow
from halo_models.chat_format import ChatFormat
from halo_models.conversation import Answer, ChatOptions, Conversation, TemplateMismatchError
from halo_models.templates import TULU_2, render
from halo_models.testing import make_chat_tokenizer
from halo_models.tokenise import CUT

KINDS = yaml.safe_load((Path(__file__).parent / "template_kinds.yaml").read_text())
BY_NAME = {kind["name"]: kind for kind in KINDS}
CASES = [(kind["name"], number) for kind in KINDS for number in range(len(kind["cases"]))]
WRITTEN = [(name, n) for name, n in CASES if "error" not in BY_NAME[name]["cases"][n]]
ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("HALO_TEST_DATA", ROOT.parent / "shared" / "data"))
SHARED = DATA.parent / "cases" / "templates.json"


def tokenizer_of(kind: Mapping[str, Any]) -> Any:
    """Returns a tokenizer with the added tokens of a kind and its template."""
    from tokenizers import AddedToken

    special = [t if isinstance(t, dict) else {"content": t} for t in kind.get("special", ())]
    template = kind["template"]
    return make_chat_tokenizer(
        "bytes",
        TULU_2 if template == "tulu" else template,
        eos=kind.get("eos", "<eos>"),
        bos=kind.get("bos"),
        added=[*(AddedToken(**t, special=True) for t in special), *kind.get("plain", ())],
        named=kind.get("named", ()),
    )


def parts(case: Mapping[str, Any]) -> tuple[Conversation, Answer]:
    """Returns the conversation and the answer of a case."""
    messages = [
        {"role": role, "content": content, **(fields[0] if fields else {})}
        for role, content, *fields in case["messages"]
    ]
    *prompt, answer = messages
    fields = {name: answer[name] for name in answer if name not in ("role", "content")}
    conversation: Any = Conversation(prompt, case.get("tools"), "here")
    return conversation, Answer(answer["content"], fields)


def format_of(kind: Mapping[str, Any], case: Mapping[str, Any]) -> ChatFormat:
    return ChatFormat(tokenizer_of(kind), ChatOptions(template_date=case.get("date")))


def encoded(chat: ChatFormat, conversation: Conversation, *answers: Answer) -> EncodedRow:
    (row,) = ChatEncoder(chat, 10_000).rows([ChatRow("p", conversation, answers)])
    assert isinstance(row, EncodedRow)
    return row


@pytest.mark.parametrize(("name", "number"), CASES)
def test_template_is_trained_as_it_writes(name: str, number: int) -> None:
    kind = BY_NAME[name]
    case = kind["cases"][number]
    chat = format_of(kind, case)
    conversation, answer = parts(case)
    if "error" in case:
        with pytest.raises(TemplateMismatchError, match=re.escape(case["error"])):
            encoded(chat, conversation, answer)
        return
    rendered = chat.answer_text(conversation, answer)
    assert rendered.prompt.replace(CUT, "#") == case["prompt"]
    assert rendered.trained.replace(CUT, "#") == case["trained"]
    assert rendered.remarks == set(case.get("remarks", ()))
    if "lead" in case:
        assert chat.content(Conversation(conversation.prompt), case["lead"] + "x") == "x"


@pytest.mark.parametrize(("name", "number"), WRITTEN)
def test_ids_spell_the_text_and_end_once(name: str, number: int) -> None:
    kind = BY_NAME[name]
    case = kind["cases"][number]
    tokenizer = tokenizer_of(kind)
    chat = ChatFormat(tokenizer, ChatOptions(template_date=case.get("date")))
    conversation, answer = parts(case)
    rendered = chat.answer_text(conversation, answer)
    row = encoded(chat, conversation, answer)
    learned = row.answers[0].ids
    prompt, trained = rendered.prompt.replace(CUT, ""), rendered.trained.replace(CUT, "")
    trained += "" if rendered.ends else kind["end"]
    # Phi-3's marks include the white space after them.
    native = tokenizer(prompt + trained, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode([*row.prompt_ids, *learned]) == tokenizer.decode(native)
    assert tokenizer.decode(learned).lstrip() == trained.lstrip()
    end_id = tokenizer.convert_tokens_to_ids(kind["end"])
    assert chat.end_id == end_id
    assert learned[-1] == end_id or learned[-1] == tokenizer.convert_tokens_to_ids("<|call|>")
    assert learned.count(end_id) <= 1
    if CUT not in rendered.prompt + rendered.trained:
        assert [*row.prompt_ids, *learned] == native
    bos = tokenizer.bos_token_id
    if bos is not None:
        assert [*row.prompt_ids, *learned].count(bos) == 1


@pytest.mark.parametrize("name", BY_NAME)
def test_unfinished_answers_have_no_end(name: str) -> None:
    kind = BY_NAME[name]
    case = next(case for case in kind["cases"] if "error" not in case)
    chat = format_of(kind, case)
    conversation, _ = parts(case)
    ended = chat.answer_text(conversation, Answer("Moo. It"))
    cut = chat.answer_text(conversation, Answer("Moo. It", ended=False))
    assert cut.prompt == ended.prompt
    assert not cut.ends
    assert cut.trained.endswith("Moo. It")
    assert ended.trained.startswith(cut.trained)
    row = encoded(chat, conversation, Answer("Moo. It", ended=False))
    assert chat.end_id not in row.answers[0].ids
    assert not row.answers[0].ended


def shared_cases() -> list[Any]:
    if not SHARED.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"there is no {SHARED}"))]
    return [pytest.param(case, id=case["name"]) for case in json.loads(SHARED.read_text())]


@pytest.mark.parametrize("case", shared_cases())
def test_shared_cases_are_trained_as_they_say(case: Mapping[str, Any]) -> None:
    tokenizer = tokenizer_of({**case, "plain": case["not_special"], "named": case["named_special"]})
    *prompt, answer = case["messages"]
    chat = ChatFormat(tokenizer)
    rendered = chat.answer_text(Conversation(prompt), Answer(answer["content"]))
    assert render(tokenizer, case["messages"], answer_follows=False) == case["text"]
    assert rendered.trained == case["trained"].split(" (or")[0]
    assert case["text"].startswith(rendered.prompt + rendered.trained)
