"""Tiny classifiers, the judge that scores with them, and texts for it."""

from pathlib import Path

from halo_core.judge import JudgeContext
from halo_core.scoring_judge import Answer
from halo_judge.judges.reward_model.options import RewardModel
from halo_models import testing

TOLERANCE = 1e-5
UNUSED = Path("unused")
MARKS = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|pad|>"]
WORDS = "what does a cow dog duck say moo woof quack well please it is the answer".split()


def question(animal):
    return [{"role": "user", "content": f"what does a {animal} say"}]


PAIRS = [
    {"prompt": question(animal), "chosen": f"{start} {sound}".strip(), "rejected": f"{start} well"}
    for animal, sound in (("cow", "moo"), ("dog", "woof"), ("duck", "quack"))
    for start in ("", "it is", "please it is", "the answer is")
]


def make_tokenizer():
    return testing.make_tokenizer([" ".join(WORDS)], MARKS)


def tiny_config(**options):
    from transformers import LlamaConfig

    given = {
        "vocab_size": 310,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 128,
        "initializer_range": 0.2,
        "bos_token_id": None,
        "eos_token_id": 0,
        "pad_token_id": None,
    }
    return LlamaConfig(**given | options)


def save(folder, model, tokenizer):
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def judge(folder, **options):
    return RewardModel(**{"path": str(folder), "device": "cpu"} | options)


def score(made, *answers, models=None):
    """Returns the scores of (prompt, completion) in order."""
    context = JudgeContext(UNUSED, UNUSED, models or {})
    asked = [Answer(str(i), prompt, text) for i, (prompt, text) in enumerate(answers)]
    with made.open_scoring(context) as session:
        found = {given.id: given for given in session.score(asked)}
    return [found[answer.id] for answer in asked]


ALL = [(row["prompt"], row[side]) for row in PAIRS for side in ("chosen", "rejected")]


def classifier(folder, tokenizer, **options):
    import torch
    from transformers import LlamaForSequenceClassification

    torch.manual_seed(1)
    model = LlamaForSequenceClassification(tiny_config(vocab_size=len(tokenizer), **options))
    return save(folder, model.eval(), tokenizer)
