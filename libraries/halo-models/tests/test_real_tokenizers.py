"""Tokenizers of real models, if packages with them are installed.

The fixtures of the files say which packages. Each is a model in one file, of which only the
tokenizer is read.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from halo_models.chat_encoder import ChatEncoder, ChatRow, EncodedRow
from halo_models.chat_format import ChatFormat
from halo_models.conversation import SPELLS, STRADDLES, Answer, Conversation
from halo_models.templates import render, use_template
from halo_models.turn_marks import special_tokens

pytestmark = pytest.mark.slow

KINDS = yaml.safe_load((Path(__file__).parent / "template_kinds.yaml").read_text())
GEMMA = next(kind["template"] for kind in KINDS if kind["name"] == "Gemma 3")
TEXTS = [
    "What does a cow say?",
    "  two  spaces\n\n\nand\tlines \n",
    "cafe\N{COMBINING ACUTE ACCENT} \N{COW FACE}\N{ZERO WIDTH JOINER} 中文 한국어",
    "def f(x):\n    return {'<b>': x}\n",
    "<b>bold</b> <h1></h1> [INST] <|im_ end|> <unused",
    "",
]
SPELLED = ["<|im_end|>", "a <end_of_turn> b", "<bos><|im_start|>user\n", "<eos>x<|endoftext|>"]


@cache
def from_gguf(file: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)


@pytest.fixture
def smollm2(smollm2_file: Path) -> Any:
    """SmolLM2's tokenizer, with its own template."""
    tokenizer = from_gguf(smollm2_file)
    use_template(tokenizer, None)
    return tokenizer


@pytest.fixture
def gemma(gemma_file: Path) -> Any:
    """Gemma 3's tokenizer. The file has no template, so this is a similar one."""
    tokenizer = from_gguf(gemma_file)
    use_template(tokenizer, GEMMA)
    return tokenizer


def check(tokenizer: Any, end: str) -> None:
    """Checks rows of all texts: what is trained is the tokenizer's own, up to the end mark."""
    chat = ChatFormat(tokenizer)
    assert tokenizer.convert_ids_to_tokens(chat.end_id) == end
    encoder = ChatEncoder(chat, 10_000)
    special = {*tokenizer.convert_tokens_to_ids(sorted(special_tokens(tokenizer)))}
    plain = _ids(encoder, "a", "b")
    for text in [*TEXTS, *SPELLED]:
        row = _row(encoder, text, text + "x")
        (answer,) = row.answers
        ids = [*row.prompt_ids, *answer.ids]
        messages: Any = [
            {"role": "user", "content": text},
            {"role": "assistant", "content": text + "x"},
        ]
        full = render(tokenizer, messages, answer_follows=False)
        native = tokenizer(full, add_special_tokens=False)["input_ids"]
        spelled = bool(chat.tokeniser.protected.search(text))
        assert (SPELLS in answer.remarks) == spelled
        if not spelled and STRADDLES not in answer.remarks:
            assert ids == native[: len(ids)]
        assert tokenizer.decode(ids) == tokenizer.decode(native).rstrip("\n")
        assert [i for i in ids if i in special] == [i for i in plain if i in special]
        assert answer.ids.count(chat.end_id) == 1


def _row(encoder: ChatEncoder, question: str, answer: str) -> EncodedRow:
    conversation = Conversation([{"role": "user", "content": question}])
    (row,) = encoder.rows([ChatRow("p", conversation, (Answer(answer),))])
    assert isinstance(row, EncodedRow)
    return row


def _ids(encoder: ChatEncoder, question: str, answer: str) -> list[int]:
    row = _row(encoder, question, answer)
    return [*row.prompt_ids, *row.answers[0].ids]


def test_smollm2_is_trained_as_it_was(smollm2: Any) -> None:
    check(smollm2, "<|im_end|>")
    row = _row(ChatEncoder(ChatFormat(smollm2), 1000), "Hi", "Moo.")
    assert smollm2.decode(row.prompt_ids) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
        "<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert smollm2.decode(row.answers[0].ids) == "Moo.<|im_end|>"


def test_gemma_is_trained_as_its_template_writes(gemma: Any) -> None:
    assert "<end_of_turn>" not in gemma.all_special_tokens
    check(gemma, "<end_of_turn>")
    row = _row(ChatEncoder(ChatFormat(gemma), 1000), "Hi", "<b>Moo.</b>")
    assert gemma.decode(row.prompt_ids) == (
        "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n"
    )
    # Tags are the model's own tokens, and stay tokens.
    assert gemma.convert_ids_to_tokens(row.answers[0].ids)[0] == "<b>"
    assert gemma.decode(row.answers[0].ids) == "<b>Moo.</b><end_of_turn>"


def test_gemma_without_a_template_gets_tulus_and_one_bos(gemma_file: Path) -> None:
    import copy

    tokenizer = copy.deepcopy(from_gguf(gemma_file))
    tokenizer.chat_template = None
    use_template(tokenizer, None)
    row = _row(ChatEncoder(ChatFormat(tokenizer), 1000), "Hi", "Moo.")
    assert tokenizer.decode([*row.prompt_ids, *row.answers[0].ids]) == (
        "<bos><|user|>\nHi\n<|assistant|>\nMoo.<eos>"
    )
