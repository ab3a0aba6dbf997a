from __future__ import annotations

import copy
from typing import Any

import pytest

from halo_core.errors import ModelError
from halo_models.chat_format import ChatFormat
from halo_models.templates import TULU_2, render, use_template
from halo_models.tokenise import CUT, Tokeniser, mark_spelled

USER = {"role": "user", "content": "What says a cow?"}


def prompt_text(tokenizer: Any, messages: list[Any]) -> str:
    return render(tokenizer, messages, answer_follows=True)


def encode(tokenizer: Any, text: str) -> list[int]:
    return Tokeniser(tokenizer, ()).encode([text])[0]


@pytest.fixture
def tokenizer(tiny_tokenizer: Any) -> Any:
    return copy.deepcopy(tiny_tokenizer)


def test_default_format_is_the_reports(tokenizer: Any) -> None:
    assert prompt_text(tokenizer, [USER]) == "<|user|>\nWhat says a cow?\n<|assistant|>\n"


def test_earlier_answers_end_with_eos_and_system_comes_first(tokenizer: Any) -> None:
    system = {"role": "system", "content": "Be brief."}
    answer = {"role": "assistant", "content": "Moo."}
    assert prompt_text(tokenizer, [system, USER, answer, USER]) == (
        "<|system|>\nBe brief.\n<|user|>\nWhat says a cow?\n"
        "<|assistant|>\nMoo.<|endoftext|>\n<|user|>\nWhat says a cow?\n<|assistant|>\n"
    )


def test_own_template_of_a_tokenizer_is_kept(tokenizer: Any) -> None:
    own = "{% for m in messages %}[{{ m.content }}]{% endfor %}"
    tokenizer.chat_template = own
    use_template(tokenizer, None)
    assert tokenizer.chat_template == own
    use_template(tokenizer, "tulu")
    assert tokenizer.chat_template == TULU_2


def test_given_template_replaces_the_tokenizers_own(tokenizer: Any) -> None:
    use_template(tokenizer, "{% for m in messages %}Q: {{ m.content }} A:{% endfor %}")
    assert prompt_text(tokenizer, [USER]) == "Q: What says a cow? A:"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% for m in messages %}{{ m.content }}", "TemplateSyntaxError"),
        ("tuluu", "without its content"),
        ("{{ raise_exception('never') }}", "never"),
    ],
)
def test_bad_template_is_one_clear_error(tokenizer: Any, template: str, words: str) -> None:
    with pytest.raises(ModelError) as raised:
        use_template(tokenizer, template)
    assert str(raised.value).startswith("template: the chat template")
    assert words in str(raised.value)
    assert "'tulu'" in str(raised.value)


@pytest.fixture
def bos_tokenizer(tokenizer: Any) -> Any:
    from tokenizers import processors

    tokenizer.chat_template = None
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    return tokenizer


@pytest.mark.parametrize("template", [None, "{{ bos_token }}" + TULU_2])
def test_bos_comes_exactly_once_where_the_tokenizer_wants_it(
    bos_tokenizer: Any, template: str | None
) -> None:
    use_template(bos_tokenizer, template)
    ids = encode(bos_tokenizer, prompt_text(bos_tokenizer, [USER]))
    assert ids[0] == bos_tokenizer.bos_token_id
    assert ids.count(bos_tokenizer.bos_token_id) == 1
    chat = bos_tokenizer.apply_chat_template([USER], add_generation_prompt=True)["input_ids"]
    assert list(chat) == ids


def test_no_bos_where_the_tokenizer_adds_none(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    use_template(tokenizer, None)
    assert "bos_token" not in tokenizer.chat_template


def test_control_tokens_in_a_users_text_stay_text(tokenizer: Any) -> None:
    tokeniser = ChatFormat(tokenizer).tokeniser
    text = "say <|user|> and <|endoftext|><|endoftext|>"
    (ids,) = tokeniser.encode([mark_spelled(text, tokeniser.protected)])
    marks = set(tokenizer.convert_tokens_to_ids(["<|user|>", "<|endoftext|>"]))
    assert marks & set(encode(tokenizer, text)) == marks
    assert not marks & set(ids)
    assert tokenizer.decode(ids) == text


def test_text_without_control_tokens_is_tokenised_whole(tokenizer: Any) -> None:
    text = "The cow says < | moo |>."
    tokeniser = ChatFormat(tokenizer).tokeniser
    assert mark_spelled(text, tokeniser.protected) == text
    assert tokeniser.encode([text]) == [tokenizer(text)["input_ids"]]


def test_cut_marks_in_a_users_text_are_dropped(tokenizer: Any) -> None:
    assert mark_spelled(f"a{CUT}b", ChatFormat(tokenizer).tokeniser.protected) == "ab"


def test_added_white_space_is_no_control_token(tokenizer: Any) -> None:
    from tokenizers import AddedToken

    tokenizer.add_tokens([AddedToken("    ", normalized=False)])
    assert mark_spelled("a    b", ChatFormat(tokenizer).tokeniser.protected) == "a    b"


def test_texts_keep_their_order_whatever_is_cut(tokenizer: Any) -> None:
    tokeniser = ChatFormat(tokenizer).tokeniser
    texts = ["moo", "", "<|user|>", "quack"]
    ids = tokeniser.encode([mark_spelled(text, tokeniser.protected) for text in texts])
    assert [tokenizer.decode(one) for one in ids] == texts
    assert tokeniser.encode([]) == []
