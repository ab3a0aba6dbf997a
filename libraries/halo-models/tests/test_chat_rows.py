"""Rows as token ids: cut prompts, pairs, sampled ids, and rows that cannot be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from halo_core.errors import DataError
from halo_models.chat_encoder import ChatEncoder, ChatRow, EncodedPrompt, EncodedRow
from halo_models.chat_format import ChatFormat
from halo_models.conversation import (
    CHANGED,
    DIFFERS,
    STRADDLES,
    Answer,
    ChatOptions,
    Conversation,
    TemplateMismatchError,
)
from halo_models.templates import TULU_2
from halo_models.testing import Kind, make_chat_tokenizer
from halo_models.tokenise import CUT

KINDS = yaml.safe_load((Path(__file__).parent / "template_kinds.yaml").read_text())
BY_NAME = {kind["name"]: kind for kind in KINDS}
QWQ = "thoughts opened by the generation prompt and kept (QwQ)"
R1 = "thoughts opened by the generation prompt and taken out (R1)"


def tokenizer_of(name: str, kind: Kind = "bytes") -> Any:
    from tokenizers import AddedToken

    template = BY_NAME[name]
    special = [t if isinstance(t, dict) else {"content": t} for t in template.get("special", ())]
    text = template["template"]
    return make_chat_tokenizer(
        kind,
        TULU_2 if text == "tulu" else text,
        eos=template.get("eos", "<eos>"),
        bos=template.get("bos"),
        added=[*(AddedToken(**t, special=True) for t in special), *template.get("plain", ())],
    )


def conversation(*turns: tuple[str, str], **named: Any) -> Conversation:
    prompt: Any = [{"role": role, "content": content} for role, content in turns]
    return Conversation(prompt, place="set: row 7", **named)


def encoder(tokenizer: Any, limit: int = 1000, **options: Any) -> ChatEncoder:
    return ChatEncoder(ChatFormat(tokenizer, ChatOptions(**options)), limit)


def encoded(tokenizer: Any, row: ChatRow, limit: int = 1000, **options: Any) -> EncodedRow:
    (found,) = encoder(tokenizer, limit, **options).rows([row])
    assert isinstance(found, EncodedRow)
    return found


def cut(tokenizer: Any, prompt: Conversation, limit: int) -> str:
    """Returns the text of a prompt that was cut."""
    found = encoder(tokenizer, limit).prompts({"p": prompt})["p"]
    assert isinstance(found, EncodedPrompt)
    assert found.truncated
    assert len(found.ids) <= limit
    assert tokenizer.decode(found.ids) == found.text.replace(CUT, "")
    row = encoded(tokenizer, ChatRow("p", prompt, (Answer("Moo."),)), limit)
    assert row.prompt_ids == found.ids
    assert row.truncated
    return found.text.replace(CUT, "")


def test_cut_keeps_a_system_message_and_the_last_question() -> None:
    tokenizer = tokenizer_of("Qwen 3")
    prompt = conversation(
        ("system", "Be brief."), ("user", "old " * 40), ("assistant", "x"), ("user", "new?")
    )
    text = cut(tokenizer, prompt, 60)
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nnew?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_cut_keeps_tools_and_a_developers_message() -> None:
    tools = ({"name": "f", "description": "<|im_end|>"},)
    tokenizer = tokenizer_of("Qwen 3")
    prompt = conversation(("user", "old " * 20), ("assistant", "x"), ("user", "new?"), tools=tools)
    assert '"name": "f"' in cut(tokenizer, prompt, 110)
    gpt = tokenizer_of("gpt-oss")
    developer = conversation(
        ("developer", "Be brief."), ("user", "old " * 60), ("assistant", "x"), ("user", "new?")
    )
    text = cut(gpt, developer, 150)
    assert "Be brief." in text
    assert "old" not in text


def test_cut_loses_old_thoughts_with_their_turn() -> None:
    tokenizer = tokenizer_of("ChatML with thoughts")
    messages: Any = [
        {"role": "user", "content": "old"},
        {"role": "assistant", "content": "x", "thinking": "long " * 30},
        {"role": "user", "content": "new?"},
    ]
    text = cut(tokenizer, Conversation(messages), 30)
    assert text == "<|im_start|>user\nnew?<|im_end|>\n<|im_start|>assistant\n"


def test_cut_keeps_the_end_of_a_question_that_spells_tokens() -> None:
    tokenizer = tokenizer_of("Qwen 3")
    text = cut(tokenizer, conversation(("user", "<|im_end|>moo " * 30)), 60)
    assert text.endswith("moo <|im_end|>\n<|im_start|>assistant\n")
    assert text.startswith("<|im_start|>user\n")


def test_no_room_is_an_error_that_names_the_row() -> None:
    with pytest.raises(DataError, match=r"^set: row 7: max_prompt_length 3 leaves no room"):
        encoder(tokenizer_of("Qwen 3"), 3).prompts({"p": conversation(("user", "new?"))})


def test_prompt_that_only_fails_when_cut_is_dropped_too() -> None:
    refusing = (
        "{% if messages | length < 2 %}{{ raise_exception('too short') }}{% endif %}"
        "{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    tokenizer = make_chat_tokenizer("bytes", refusing)
    prompt = conversation(("user", "moo " * 50), ("assistant", "x"), ("user", "new?"))
    found = encoder(tokenizer, 20, template_mismatch="drop").prompts({"p": prompt})
    assert isinstance(found["p"], TemplateMismatchError)
    with pytest.raises(TemplateMismatchError, match="too short"):
        encoder(tokenizer, 20).prompts({"p": prompt})


def test_sides_of_a_pair_share_the_shorter_prompt() -> None:
    tokenizer = tokenizer_of(QWQ)
    row = ChatRow(
        "p",
        conversation(("user", "Hi")),
        (Answer("<think>\nLoud.\n</think>\n\nMoo."), Answer("Moo.")),
    )
    found = encoded(tokenizer, row)
    assert tokenizer.decode(found.prompt_ids).endswith("<|im_start|>assistant\n")
    chosen, rejected = found.answers
    assert tokenizer.decode(chosen.ids) == "<think>\nLoud.\n</think>\n\nMoo.<|im_end|>"
    assert tokenizer.decode(rejected.ids) == "Moo.<|im_end|>"
    assert DIFFERS in rejected.remarks


@pytest.mark.parametrize("kind", ["bytes", "bytes whole", "metaspace first", "metaspace always"])
def test_sampled_ids_are_kept_behind_the_prompt_that_they_followed(kind: Kind) -> None:
    tokenizer = tokenizer_of(QWQ, kind)
    sampled = tokenizer("Loud", add_special_tokens=False)["input_ids"][::-1]
    prompt = conversation(("user", "Hi"))
    (alone,) = encoded(tokenizer, ChatRow("p", prompt, (Answer("x", token_ids=sampled),))).answers
    assert alone.ids[:-1] == sampled
    assert tokenizer.convert_ids_to_tokens(alone.ids[-1]) == "<|im_end|>"
    row = ChatRow("p", prompt, (Answer("x", token_ids=sampled, ended=False), Answer("Moo.")))
    found = encoded(tokenizer, row)
    # The rendered side follows a shorter prompt, so the other side is trained on the difference.
    first = found.answers[0].ids
    assert not found.answers[0].ended
    assert first[len(first) - len(sampled) :] == sampled
    between = [*found.prompt_ids, *first[: len(first) - len(sampled)]]
    whole = encoder(tokenizer).prompts({"p": prompt})["p"]
    assert isinstance(whole, EncodedPrompt)
    assert tokenizer.decode(between) == tokenizer.decode(whole.ids)


def test_prompt_and_answer_that_share_a_token_are_tokenised_apart() -> None:
    tokenizer = make_chat_tokenizer(
        "bytes whole", "{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    row = ChatRow("p", conversation(("user", "The c")), (Answer("ow says moo."),))
    found = encoded(tokenizer, row)
    assert found.answers[0].remarks == {STRADDLES}
    assert found.prompt_ids == tokenizer("The c")["input_ids"]
    assert tokenizer.decode(found.answers[0].ids) == "ow says moo.<eos>"


@pytest.mark.parametrize("kind", ["metaspace first", "metaspace always", "prepend"])
def test_answer_that_is_tokenised_apart_gets_no_space(kind: Kind) -> None:
    source = "{% for m in messages %}{{ m.content }}{% endfor %}"
    tokenizer = make_chat_tokenizer(kind, source, added=["<think>"])
    found = encoded(
        tokenizer, ChatRow("p", conversation(("user", "The c")), (Answer("ow<think>says"),))
    )
    assert found.answers[0].remarks == {STRADDLES}
    ids = [*found.prompt_ids, *found.answers[0].ids[:-1]]
    native = tokenizer("The cow<think>says")["input_ids"]
    assert tokenizer.decode(ids) == tokenizer.decode(native)
    behind = tokenizer.convert_tokens_to_ids("<think>")
    assert ids[ids.index(behind) :] == native[native.index(behind) :]


def test_mismatch_shows_both_texts_or_is_dropped() -> None:
    source = (
        "{% for m in messages %}{{ '<u>' + (m.content if add_generation_prompt or m.role != 'user' "
        "else m.content | upper) }}{% endfor %}"
    )
    tokenizer = make_chat_tokenizer("bytes", source)
    row = ChatRow("p", conversation(("user", "moo")), (Answer("x"),))
    with pytest.raises(TemplateMismatchError) as raised:
        encoded(tokenizer, row)
    assert str(raised.value) == (
        "set: row 7: the chat template writes another prompt with the answer than without it: "
        "...'<u>moo' before an answer is there, and ...'<u>MOO<u>x' with it. Give a template that "
        "writes both alike, or drop such rows with template_mismatch: drop"
    )
    good = ChatRow("q", conversation(("user", "12")), (Answer("x"),))
    first, second = encoder(tokenizer, template_mismatch="drop").rows([row, good])
    assert isinstance(first, TemplateMismatchError)
    assert first.reason.startswith("the chat template writes another prompt")
    assert isinstance(second, EncodedRow)


def test_prompt_that_differs_ends_before_letters_that_the_answer_shares() -> None:
    source = (
        "{% for m in messages %}{{ m.content + '<e>' }}{% endfor %}"
        "{% if add_generation_prompt %}Thought:{% endif %}"
    )
    tokenizer = make_chat_tokenizer("bytes", source, added=["<e>"])
    row = ChatRow("p", conversation(("user", "moo")), (Answer("The cow"),))
    found = encoded(tokenizer, row)
    assert tokenizer.decode(found.prompt_ids) == "moo<e>"
    assert tokenizer.decode(found.answers[0].ids) == "The cow<e>"
    assert found.answers[0].remarks == {DIFFERS}


def test_unfinished_answer_keeps_its_calls_and_stops_within_thoughts() -> None:
    tokenizer = tokenizer_of("Qwen 3")
    calls = {"tool_calls": [{"name": "f", "arguments": {"x": 1}}]}
    prompt = conversation(("user", "Hi"))
    (found,) = encoded(
        tokenizer, ChatRow("p", prompt, (Answer("Moo", calls, ended=False),))
    ).answers
    assert tokenizer.decode(found.ids) == (
        "<think>\n\n</think>\n\nMoo\n<tool_call>\n"
        '{"name": "f", "arguments": {"x": 1}}\n</tool_call>'
    )
    thoughts = Answer("", {"reasoning_content": "I thi"}, ended=False)
    (found,) = encoded(tokenizer, ChatRow("p", prompt, (thoughts,))).answers
    assert tokenizer.decode(found.ids) == "<think>\nI thi"


def test_trimmed_answer_is_trained_as_rendered_and_counted() -> None:
    tokenizer = tokenizer_of("Llama 3")
    (found,) = encoded(
        tokenizer, ChatRow("p", conversation(("user", "Hi")), (Answer(" Moo \n"),))
    ).answers
    assert tokenizer.decode(found.ids) == "Moo<|eot_id|>"
    assert found.remarks == {CHANGED}
    (found,) = encoded(
        tokenizer,
        ChatRow("p", conversation(("user", "Hi")), (Answer(" Moo \n", ended=False),)),
    ).answers
    assert tokenizer.decode(found.ids) == "Moo"


@pytest.mark.parametrize("has_bos", [True, False])
@pytest.mark.parametrize("mark", ["<|eot_id|>", "<|eot_id|>\n", ""])
def test_pretemplated_rows_are_read_as_they_stand(has_bos: bool, mark: str) -> None:
    tokenizer = tokenizer_of("Llama 3")
    text = (
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    bos = "<|begin_of_text|>"
    prompt = conversation(("user", bos + text if has_bos else text))
    found = encoded(tokenizer, ChatRow("p", prompt, (Answer(f"Moo.{mark}"),)), pretemplated=True)
    assert tokenizer.decode(found.prompt_ids) == bos + text
    assert found.prompt_ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer.decode(found.answers[0].ids) == "Moo.<|eot_id|>"
    assert found.answers[0].remarks == frozenset()
    cut_off = Answer("Moo. ", ended=False)
    (unfinished,) = encoded(tokenizer, ChatRow("p", prompt, (cut_off,)), pretemplated=True).answers
    assert tokenizer.decode(unfinished.ids) == "Moo. "


def test_pretemplated_prompt_is_one_text() -> None:
    prompt = conversation(("system", "S"), ("user", "Hi"))
    with pytest.raises(DataError, match="the prompt has the turns system, user; with pretemplated"):
        encoder(tokenizer_of("Llama 3"), pretemplated=True).prompts({"p": prompt})


def test_second_call_that_a_template_leaves_out_is_an_error() -> None:
    calls = {"tool_calls": [{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}}]}
    row = ChatRow("p", conversation(("user", "Hi")), (Answer("", calls),))
    with pytest.raises(TemplateMismatchError, match="leaves out tool_calls"):
        encoded(tokenizer_of("gpt-oss"), row)
    found = encoded(tokenizer_of("Qwen 3"), row)
    assert tokenizer_of("Qwen 3").decode(found.answers[0].ids).count("<tool_call>") == 2


def test_name_of_a_tools_answer_links_it_with_the_call() -> None:
    messages: Any = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": {}}]},
        {"role": "tool", "content": "4", "name": "f", "tool_call_id": "1"},
    ]
    tokenizer = tokenizer_of("Qwen 3")
    encoded(tokenizer, ChatRow("p", Conversation(messages), (Answer("Moo."),)))
    messages[-1]["name"] = "g"
    with pytest.raises(TemplateMismatchError, match="leaves out name"):
        encoded(tokenizer, ChatRow("p", Conversation(messages), (Answer("Moo."),)))


def test_empty_fields_are_nothing_that_is_left_out() -> None:
    fields = {"tool_calls": [], "name": "", "reasoning_content": None}
    tokenizer = tokenizer_of("TULU 2")
    found = encoded(tokenizer, ChatRow("p", conversation(("user", "Hi")), (Answer("x", fields),)))
    assert tokenizer.decode(found.answers[0].ids) == "x<eos>"


def test_refusal_of_python_is_one_of_the_template() -> None:
    for broken in ("{{ 1 / 0 }}", "{{ '{}'.format() }}", "{{ {}.pop('x') }}"):
        source = "{{ messages[0].content }}{% if messages | length > 2 %}" + broken + "{% endif %}"
        tokenizer = make_chat_tokenizer("bytes", source)
        prompt = conversation(("user", "a"), ("assistant", "b"), ("user", "c"))
        with pytest.raises(TemplateMismatchError, match="the chat template refuses the prompt"):
            encoder(tokenizer).prompts({"p": prompt})


@pytest.mark.parametrize(
    ("name", "text", "content"),
    [
        (QWQ, "Loud.\n</think>\n\nMoo.", "<think>\nLoud.\n</think>\n\nMoo."),
        (R1, "Loud.\n</think>\n\nMoo.", "<think>\nLoud.\n</think>\n\nMoo."),
        ("Qwen 3", "<think>\n\n</think>\n\nMoo.", "Moo."),
        ("Qwen 3", "<think>\nLoud.\n</think>\n\nMoo.", "<think>\nLoud.\n</think>\n\nMoo."),
        ("gpt-oss", "<|channel|>final<|message|>Moo.", "Moo."),
        ("Mistral", " Moo.", "Moo."),
        ("TULU 2", "Moo.", "Moo."),
    ],
)
def test_what_a_model_wrote_becomes_a_content_that_is_rendered_the_same(
    name: str, text: str, content: str
) -> None:
    tokenizer = tokenizer_of(name)
    chat = ChatFormat(tokenizer)
    prompt = conversation(("user", "Hi"))
    assert chat.content(prompt, text) == content
    rendered = chat.answer_text(prompt, Answer(content))
    if name != R1:
        assert rendered.prompt == chat.prompt_text(prompt)
        assert rendered.trained.startswith(text)
