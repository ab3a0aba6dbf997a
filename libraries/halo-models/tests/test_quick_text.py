"""The short ways to texts and token ids give the same as transformers' own."""

from __future__ import annotations

from typing import Any

import pytest

from halo_models.batch_encoder import batch_encoder
from halo_models.chat_renderer import ChatRenderer
from halo_models.conversation import Conversation, TemplateMismatchError
from halo_models.plain_render import PlainRenderer
from halo_models.templates import TULU_2, render
from halo_models.testing import CORPUS, KINDS, Kind, make_chat_tokenizer

TEXTS = [*CORPUS, "", " ", "é\n\n<|user|>  x<|assistant|>", "<eos>moo", "\u2581a", "🐄" * 3]
USER = {"role": "user", "content": "What says a cow?"}
ANSWER = {"role": "assistant", "content": "Moo."}
TEMPLATES = [
    TULU_2,
    "{% set d = strftime_now('%d %B %Y') %}{{ d }}{% for m in messages %}{{ m.role }}: "
    "{{ m['content'] | trim }}{{ eos_token }}{% endfor %}{{ bos_token is defined }}",
    "{% if tools is none and documents is none %}none {% endif %}{% for m in messages %}"
    "{{ m | tojson }}{% if m.thinking is defined %}!{% endif %}{% endfor %}"
    "{{ namespace(x=1).x }}{{ 'more' if add_generation_prompt }}",
]


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_transformers(kind: Kind) -> None:
    tokenizer = make_chat_tokenizer(
        kind, added=["<|user|>", "<|assistant|>"], bos="<s>", writes_bos=True
    )
    expected = tokenizer(TEXTS, add_special_tokens=False)["input_ids"]
    assert batch_encoder(tokenizer)(TEXTS) == expected


def test_ids_do_not_depend_on_what_was_set_before() -> None:
    tokenizer = make_chat_tokenizer("bytes")
    ids_of = batch_encoder(tokenizer)
    expected = ids_of(TEXTS)
    tokenizer.backend_tokenizer.enable_truncation(2)
    tokenizer.backend_tokenizer.enable_padding()
    tokenizer.backend_tokenizer.encode_special_tokens = True
    assert ids_of(TEXTS) == expected


def test_a_tokenizer_with_its_own_way_is_asked_itself() -> None:
    ordinary = make_chat_tokenizer("bytes")

    class Own(type(ordinary)):  # type: ignore[misc]
        def _encode_plus(self, text: Any, **options: Any) -> Any:
            return {"input_ids": [[7] for _ in text]}

    own = Own(tokenizer_object=ordinary.backend_tokenizer, eos_token="<eos>")
    assert batch_encoder(own)(["moo", "quack"]) == [[7], [7]]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("follows", [True, False])
def test_texts_are_those_of_transformers(template: str, follows: bool) -> None:
    tokenizer = make_chat_tokenizer("bytes", template)
    renderer = ChatRenderer(tokenizer, "2025-01-02")
    for messages in ([USER], [USER, ANSWER, USER], [{**USER, "content": "<b>'\n"}], [USER]):
        found = renderer.render(Conversation(messages), messages, answer_follows=follows)
        assert found == render(
            tokenizer, messages, answer_follows=follows, template_date="2025-01-02"
        )


def counting(tokenizer: Any, texts: list[str]) -> Any:
    def slow(messages: Any, answer_follows: bool) -> str:
        text = render(tokenizer, messages, answer_follows=answer_follows)
        texts.append(text)
        return text

    return slow


def test_transformers_renders_each_kind_of_messages_once() -> None:
    tokenizer, asked = make_chat_tokenizer("bytes", TULU_2), []
    renderer = PlainRenderer(tokenizer, TULU_2, counting(tokenizer, asked))
    for number in range(20):
        for messages in ([USER], [USER, ANSWER]):
            last = {**messages[-1], "content": f"{number}"}
            assert f"{number}" in renderer.render([*messages[:-1], last], answer_follows=True)
    assert len(asked) == 2


def test_a_field_that_only_transformers_knows_goes_the_long_way() -> None:
    template = "{% for m in messages %}{{ m.content }}{{ m.reasoning_content }}{% endfor %}"
    tokenizer, asked = make_chat_tokenizer("bytes", template), []
    renderer = PlainRenderer(tokenizer, template, counting(tokenizer, asked))
    thought = {**ANSWER, "thinking": "A cow is no duck."}
    for _ in range(3):
        assert "no duck" in renderer.render([USER, thought], answer_follows=False)
    assert len(asked) == 3


def test_a_template_that_differs_is_left_to_transformers() -> None:
    tokenizer = make_chat_tokenizer("bytes", TULU_2)
    renderer = PlainRenderer(tokenizer, TULU_2, lambda messages, follows: f"other {len(messages)}")
    assert renderer.render([USER], answer_follows=True) == "other 1"
    assert renderer.render([USER, ANSWER], answer_follows=True) == "other 2"


def test_the_refusal_of_a_template_is_the_same_after_many_rows() -> None:
    template = (
        "{% for m in messages %}{{ m.content }}{% if 'duck' in m.content %}"
        "{{ raise_exception('no ducks') }}{% endif %}{% endfor %}"
    )
    renderer = ChatRenderer(make_chat_tokenizer("bytes", template), "2025-01-01")
    duck = {**USER, "content": "a duck"}
    assert renderer.render(Conversation([USER]), [USER], answer_follows=True)
    with pytest.raises(TemplateMismatchError, match="no ducks"):
        renderer.render(Conversation([duck]), [duck], answer_follows=True)
    assert renderer.render(Conversation([USER]), [USER], answer_follows=True)


def test_a_template_cannot_change_the_messages() -> None:
    template = "{% for m in messages %}{{ m.update({'content': 'x'}) }}{% endfor %}"
    renderer = ChatRenderer(make_chat_tokenizer("bytes", template), "2025-01-01")
    message = dict(USER)
    with pytest.raises(TemplateMismatchError):
        renderer.render(Conversation([message]), [message], answer_follows=True)
    assert message == USER
