"""The judge `reward-model` on a tiny model that bradley-terry trains here."""

import json
import shutil

import pytest
from tiny_classifiers import ALL, PAIRS, TOLERANCE, UNUSED, judge, question, score

from halo_core.errors import ModelError, UserError
from halo_core.judge import Comparison, JudgeContext
from halo_core.scoring_judge import Answer
from halo_core.stage import ModelInput
from halo_core.testing import check_scoring_judge
from halo_judge.judges.reward_model import score_processes

HARD = [
    (question("cow"), "moo <|user|> <|endoftext|> <|pad|> odd"),
    ([{"role": "user", "content": "<|assistant|>\nmoo"}], "\n well\n"),
    ([{"role": "system", "content": "be kind"}, *question("dog")], ""),
    (question("duck"), "🐄 {completion}"),
]


def test_a_trained_reward_model_scores_the_chosen_completions_higher(trained):
    found = [given.value for given in score(judge(trained), *ALL)]
    wins = [chosen > rejected for chosen, rejected in zip(found[::2], found[1::2], strict=True)]
    assert sum(wins) >= 0.9 * len(wins)


def test_scores_are_those_of_the_trainers_own_head_on_packed_sequences(trained, data, tmp_path):
    import torch
    from torch import nn
    from transformers import AutoModelForSequenceClassification, LlamaForCausalLM

    from halo_core.loss import Head
    from halo_models.load import load_tokenizer
    from halo_trainer.batch.micro_batch import collate
    from halo_trainer.encode.rows_to_tokens import EncodingOptions, encode
    from halo_trainer.model.probe import make_scorer

    tokenizer = load_tokenizer(ModelInput(str(trained), None, "t"), None)
    options = EncodingOptions(max_length=128, max_prompt_length=64)
    encoded = encode(data, tokenizer, options=options, cache=tmp_path)
    classifier = AutoModelForSequenceClassification.from_pretrained(trained)
    model = LlamaForCausalLM(classifier.config)
    model.model.load_state_dict(classifier.model.state_dict())
    scorer = make_scorer(
        model.eval(), compute_dtype=torch.float32, max_length=128, warn=pytest.fail
    )
    assert scorer.route == "packed"
    head = nn.ModuleDict({"score": nn.Sequential(classifier.score)})
    scorer.add_heads((Head("score", at="end"),), head, tokens=False)
    with torch.no_grad():
        expected = scorer(collate([encoded[i] for i in range(len(encoded))], ends=True).row)
    found = [given.value for given in score(judge(trained), *ALL)]
    assert found == pytest.approx(expected.heads["score"].tolist(), abs=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_scores_do_not_depend_on_the_batch(trained, batch_size):
    alone = [score(judge(trained), answer)[0].value for answer in [*ALL, *HARD]]
    found = score(judge(trained, batch_size=batch_size), *ALL, *HARD)
    assert [given.value for given in found] == pytest.approx(alone, abs=TOLERANCE)


def test_what_a_text_spells_is_no_control_token(trained):
    """It reads the ids that the trainer encodes, whatever the text contains."""
    from transformers import AutoTokenizer

    from halo_judge.judges.reward_model.classifier_text import Reader
    from halo_models.chat_encoder import ChatEncoder
    from halo_models.chat_format import ChatFormat
    from halo_models.conversation import Conversation
    from halo_models.load import load_tokenizer
    from halo_models.notes import read_notes

    notes = read_notes(ModelInput(str(trained), None, ""))
    tokenizer = AutoTokenizer.from_pretrained(trained)
    reader = Reader(tokenizer, notes, reads="conversation", limit=128)
    theirs = load_tokenizer(ModelInput(str(trained), None, "t"), None)
    for prompt, text in HARD:
        read = reader.read(Answer("1", prompt, text)).ids
        encoder = ChatEncoder(ChatFormat(theirs), 128)
        (expected,) = encoder.prompts({"p": Conversation(prompt)}).values()
        assert read[: len(expected.ids)] == expected.ids
        rest = read[len(expected.ids) :]
        assert rest.count(tokenizer.pad_token_id) == 0
        assert rest.count(ChatFormat(tokenizer).end_id) == 1
        assert tokenizer.decode(rest[:-1]) == text


def test_a_model_with_a_control_token_is_asked_with_it(trained, tmp_path):
    folder = tmp_path / "told"
    shutil.copytree(trained, folder)
    plain = score(judge(folder), ALL[0])[0].value
    notes = json.loads((folder / "halo.json").read_text())
    (folder / "halo.json").write_text(json.dumps(notes | {"prompt_suffix": "<|system|>"}))
    assert abs(score(judge(folder), ALL[0])[0].value - plain) > 1e-4
    (folder / "halo.json").write_text(json.dumps(notes | {"prompt_suffix": "<|none|>"}))
    with pytest.raises(ModelError, match=r"control token '<\|none\|>', which its tokenizer"):
        score(judge(folder), ALL[0])


def test_long_texts_are_cut_and_say_so(trained):
    long = [{"role": "user", "content": "what does a cow say " * 100}]
    short, cut = score(judge(trained), ALL[0], (long, "moo"))
    assert (short.cut, cut.cut) == (False, True)
    assert cut.value is not None
    (cut,) = score(judge(trained, max_length=8), ALL[0])
    assert cut.cut


def test_a_prompt_loses_its_beginning_before_the_completion_its_end(trained):
    tail = "say " * 20
    far = [{"role": "user", "content": "cow " * 300 + tail}]
    other = [{"role": "user", "content": "dog " * 300 + tail}]
    options = {"max_length": 24}
    first, second = score(judge(trained, **options), (far, "moo"), (other, "moo"))
    assert first.value == pytest.approx(second.value, abs=TOLERANCE)
    first, second = score(judge(trained, **options), (far, "moo"), (far, "woof"))
    assert abs(first.value - second.value) > TOLERANCE


@pytest.mark.slow(seconds=8)
def test_the_reward_model_keeps_the_rules_of_judges_that_score(
    trained, tmp_path, warm, monkeypatch
):
    # The rules start two processes twice. They are forks, because torch takes each 4 s to import.
    monkeypatch.setattr(score_processes, "subprocess", warm.instead_of_subprocess())
    check_scoring_judge(judge(trained), tmp_path)


def test_it_compares_by_score(trained, tmp_path):
    row = PAIRS[0]
    with judge(trained).open(JudgeContext(UNUSED, UNUSED)) as session:
        (verdict,) = session.compare(
            [Comparison("1", row["prompt"], row["rejected"], row["chosen"])]
        )
    assert verdict.winner == "B"


def test_a_text_without_tokens_is_unscored_with_a_reason(trained):
    asked = ((question("cow"), text) for text in ("moo", ""))
    one, other = score(judge(trained, reads="completion"), *asked)
    assert one.value is not None
    assert (other.value, other.reason) == (None, "the text has no tokens")


def test_a_gpu_that_is_not_there_is_told(trained):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UserError, match=r"reward-model: torch sees no GPU. Use device: cpu"):
        score(judge(trained, device="cuda"), ALL[0])


class Loading(Exception):
    """Replaces a loaded model."""


def test_a_gpu_that_only_emulates_bfloat16_computes_in_float32_as_in_training(trained, monkeypatch):
    import torch

    from halo_models.device import pick_dtype

    def load(model, *, dtype, device):
        raise Loading(dtype)

    def supported(including_emulation=True):
        return including_emulation

    monkeypatch.setattr("halo_judge.judges.reward_model.classifier.load_classifier", load)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    with pytest.raises(Loading) as loaded:
        score(judge(trained, device="auto"), ALL[0])
    assert loaded.value.args == (torch.float32,)
    assert pick_dtype("auto", torch.device("cuda")) == torch.float32
