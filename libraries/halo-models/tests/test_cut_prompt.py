from __future__ import annotations

from typing import Any

import pytest

from halo_core.errors import DataError
from halo_core.feedback import Message, Prompt
from halo_models.chat_encoder import ChatEncoder, EncodedPrompt
from halo_models.chat_format import ChatFormat
from halo_models.conversation import Conversation
from halo_models.cut_prompt import cut_prompt


def words(prompt: Prompt) -> int:
    """Counts two words for the frame of each message, and the words of its content."""
    return sum(2 + len(message["content"]) for message in prompt)


def turn(role: str, content: str) -> Message:
    return {"role": role, "content": content}


SYSTEM = turn("system", "ss")
DIALOGUE = [
    turn("user", "aaaa"),
    turn("assistant", "bbbb"),
    turn("user", "cccc"),
    turn("assistant", "dddd"),
    turn("user", "efghij"),
]


def test_prompt_that_fits_is_left_as_it_is() -> None:
    assert cut_prompt(DIALOGUE, 32, words) == DIALOGUE


@pytest.mark.parametrize(("limit", "kept"), [(31, 3), (20, 3), (19, 1), (8, 1)])
def test_oldest_turns_go_first_and_a_user_speaks_first(limit: int, kept: int) -> None:
    assert cut_prompt(DIALOGUE, limit, words) == DIALOGUE[-kept:]


def test_system_message_is_kept_when_turns_go() -> None:
    assert cut_prompt([SYSTEM, *DIALOGUE], 24, words) == [SYSTEM, *DIALOGUE[2:]]
    assert cut_prompt([SYSTEM, *DIALOGUE], 12, words) == [SYSTEM, DIALOGUE[-1]]


def test_end_of_the_last_question_is_kept() -> None:
    assert cut_prompt(DIALOGUE, 5, words) == [turn("user", "hij")]
    assert cut_prompt([SYSTEM, *DIALOGUE], 13, words)[-1] == DIALOGUE[-1]
    assert cut_prompt([turn("system", "s"), *DIALOGUE], 10, words) == [
        turn("system", "s"),
        turn("user", "fghij"),
    ]


def test_system_message_that_takes_more_than_half_goes() -> None:
    long = turn("system", "s" * 20)
    assert cut_prompt([long, *DIALOGUE], 12, words) == [DIALOGUE[-1]]


def test_prompt_that_ends_with_an_answers_beginning_keeps_it() -> None:
    prompt = [*DIALOGUE, turn("assistant", "x")]
    assert cut_prompt(prompt, 8, words) == [turn("user", "hij"), turn("assistant", "x")]


def test_limit_without_room_for_the_question_is_an_error() -> None:
    with pytest.raises(DataError, match="max_prompt_length 2 leaves no room for the user's last"):
        cut_prompt(DIALOGUE, 2, words)


def test_rendered_prompt_respects_the_limit_and_ends_as_it_should(tiny_tokenizer: Any) -> None:
    question = " ".join(f"word{i}" for i in range(50)) + " <|user|> what says a cow?"
    prompt = [SYSTEM, *DIALOGUE, turn("user", question)]
    encoder = ChatEncoder(ChatFormat(tiny_tokenizer), 40)
    encoded = encoder.prompts({"p": Conversation(prompt)})["p"]
    assert isinstance(encoded, EncodedPrompt)
    text = tiny_tokenizer.decode(encoded.ids)
    assert encoded.truncated
    assert 36 <= len(encoded.ids) <= 40
    assert text.startswith("<|system|>\nss\n<|user|>\n")
    assert text.endswith(" <|user|> what says a cow?\n<|assistant|>\n")
    assert encoded.ids.count(tiny_tokenizer.convert_tokens_to_ids("<|user|>")) == 1
