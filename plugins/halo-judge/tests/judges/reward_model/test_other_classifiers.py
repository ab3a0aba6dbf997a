"""The judge `reward-model` on classifiers that were made elsewhere."""

from logging import Handler

import pytest
from tiny_classifiers import ALL, TOLERANCE, classifier, judge, make_tokenizer, question, score

from halo_core.errors import ModelError
from halo_core.scoring_judge import Answer

CHATML = (
    "{%- for m in messages -%}{{- '<|' + m.role + '|>' + m.content + '<|endoftext|>\n' -}}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


def expected(folder, ids):
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():  # One text without padding: the last token is the last one.
        hidden = model.model(torch.tensor([ids])).last_hidden_state[0, -1]
        return model.score(hidden)


def test_another_model_reads_the_conversation_through_its_template(tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = CHATML
    folder = classifier(tmp_path, tokenizer, num_labels=1)
    text = "<|user|>what does a cow say<|endoftext|>\n<|assistant|>moo<|endoftext|>\n"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    (found,) = score(judge(folder), (question("cow"), "moo"))
    assert found.value == pytest.approx(expected(folder, ids).item(), abs=TOLERANCE)


@pytest.mark.parametrize("padding", [None, "<|endoftext|>"])
def test_a_tokenizer_that_pads_with_the_end_or_not_at_all_finds_the_last_token(tmp_path, padding):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = CHATML.replace("<|endoftext|>\n'", "<|endoftext|>'")
    tokenizer.pad_token = padding
    folder = classifier(tmp_path, tokenizer, num_labels=1)
    answers = [(question("cow"), "moo"), (question("duck"), "it is the answer quack")]
    found = score(judge(folder), *answers)
    for given, (prompt, text) in zip(found, answers, strict=True):
        whole = [*prompt, {"role": "assistant", "content": text}]
        ids = tokenizer.apply_chat_template(whole, tokenize=True, return_dict=False)
        assert given.value == pytest.approx(expected(folder, ids).item(), abs=TOLERANCE)


def test_a_detector_may_read_the_completion_alone(tmp_path):
    folder = classifier(tmp_path, make_tokenizer(), num_labels=1)
    options = {"reads": "completion"}
    found = score(judge(folder, **options), (question("cow"), "moo"), (question("dog"), "moo"))
    ids = make_tokenizer()("moo")["input_ids"]
    assert found[0].value == found[1].value
    assert found[0].value == pytest.approx(expected(folder, ids).item(), abs=TOLERANCE)


def test_without_a_template_it_reads_a_pair_of_texts(tmp_path):
    folder = classifier(tmp_path, make_tokenizer(), num_labels=1)
    ids = make_tokenizer()("what does a cow say", "moo")["input_ids"]
    (found,) = score(judge(folder), (question("cow"), "moo"))
    assert found.value == pytest.approx(expected(folder, ids).item(), abs=TOLERANCE)


@pytest.mark.parametrize("reads", ["conversation", "completion"])
@pytest.mark.parametrize("limit", [128, 12])
def test_what_a_plain_text_spells_is_no_control_token_either(reads, limit):
    from halo_judge.judges.reward_model.classifier_text import Reader
    from halo_models.notes import ModelNotes

    tokenizer = make_tokenizer()
    reader = Reader(tokenizer, ModelNotes(), reads=reads, limit=limit)
    text = "moo<|endoftext|>well"
    read = reader.read(Answer("1", question("<|endoftext|>"), text))
    assert read.cut == (limit == 12)
    assert tokenizer.eos_token_id not in read.ids
    assert (
        tokenizer(text)["input_ids"].count(tokenizer.eos_token_id) == 1
    )  # The same as without the change.
    if limit == 128:
        assert tokenizer.decode(read.ids).endswith(text)


@pytest.mark.parametrize("label", ["toxic", "1"])
def test_a_label_is_chosen_by_name_or_number(tmp_path, label):
    names = {0: "fine", 1: "toxic", 2: "odd"}
    folder = classifier(tmp_path, make_tokenizer(), id2label=names)
    logits = expected(folder, make_tokenizer()("moo")["input_ids"])
    answer = (question("cow"), "moo")
    options = {"reads": "completion", "label": label}
    (found,) = score(judge(folder, **options), answer)
    assert found.value == pytest.approx(logits[1].item(), abs=TOLERANCE)
    (found,) = score(judge(folder, output="probability", **options), answer)
    assert found.value == pytest.approx(logits.softmax(0)[1].item(), abs=TOLERANCE)
    with pytest.raises(ModelError, match="it has the labels fine, toxic, odd, and the option"):
        score(judge(folder), answer)
    with pytest.raises(ModelError, match="none is called 'toxicity'"):
        score(judge(folder, label="toxicity"), answer)


def test_independent_labels_have_probabilities_of_their_own(tmp_path):
    names = {0: "fine", 1: "toxic"}
    options = {"id2label": names, "problem_type": "multi_label_classification"}
    folder = classifier(tmp_path, make_tokenizer(), **options)
    logits = expected(folder, make_tokenizer()("moo")["input_ids"])
    made = judge(folder, reads="completion", label="toxic", output="probability")
    (found,) = score(made, (question("cow"), "moo"))
    assert found.value == pytest.approx(logits.sigmoid()[1].item(), abs=TOLERANCE)


def test_a_prompt_that_the_template_refuses_is_unscored_with_a_reason(tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = (
        "{%- if messages[0].role == 'system' -%}{{- raise_exception('no system') -}}{%- endif -%}"
        + CHATML
    )
    folder = classifier(tmp_path, tokenizer, num_labels=1)
    prompt = [{"role": "system", "content": "x"}, *question("cow")]
    refused, fine = score(judge(folder), (prompt, "moo"), (question("cow"), "moo"))
    assert refused.value is None
    assert refused.reason == (
        "the chat template refuses the prompt, whose roles are system, user: no system"
    )
    assert fine.value is not None


class Kept(Handler):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__()
        self.said = []

    def emit(self, record):
        self.said.append(record.getMessage())


def test_a_language_model_is_no_reward_model(causal, monkeypatch):
    from transformers.utils import logging

    monkeypatch.setattr(logging.get_logger("transformers"), "handlers", [handler := Kept()])
    with pytest.raises(ModelError, match=r"weights are missing, among them 'score.weight'"):
        score(judge(causal), ALL[0])
    assert handler.said == []  # transformers also logs its own report.


def test_only_safetensors_are_read(tmp_path):
    import torch

    folder = classifier(tmp_path, make_tokenizer(), num_labels=1)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"only in pickle files \(pytorch_model.bin\)"):
        score(judge(folder), ALL[0])
