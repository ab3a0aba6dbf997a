"""The judge `reward-model` on tiny models, one of them trained here with bradley-terry."""

import json
import shutil
from logging import Handler
from pathlib import Path

import pytest

from halo_core.errors import ModelError, UserError
from halo_core.feedback import prompt_id
from halo_core.judge import Comparison, JudgeContext
from halo_core.plugins.discovery import discover
from halo_core.rows import DataSet, arrow_schema
from halo_core.run.identity import component_identity, folder_digest
from halo_core.scoring_judge import Answer
from halo_core.spec.document import Document
from halo_core.spec.mistakes import Mistakes
from halo_core.spec.resolver import Resolver
from halo_core.stage import Inputs, ModelInput
from halo_core.testing import check_scoring_judge
from halo_core.testing.context import stage_context
from halo_judge.judge_stage.ask import judge_context
from halo_judge.judge_stage.options import JudgeStage
from halo_judge.judges.reward_model import score_processes
from halo_judge.judges.reward_model.options import RewardModel
from halo_judge.label_stage.options import Label
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


@pytest.fixture(autouse=True)
def _one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def save(folder, model, tokenizer):
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    """A folder with a tiny language model."""
    import torch
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    model = LlamaForCausalLM(tiny_config(vocab_size=len(tokenizer)))
    return save(tmp_path_factory.mktemp("causal"), model, tokenizer)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    import pyarrow as pa

    path = tmp_path_factory.mktemp("data") / "rows.arrow"
    rows = [
        {"id": f"{i}", "prompt_id": prompt_id(row["prompt"]), "source": "t"} | row
        for i, row in enumerate(PAIRS)
    ]
    schema = arrow_schema("paired")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    return DataSet("train", "paired", [path])


@pytest.fixture(scope="module")
def trained(tmp_path_factory, causal, data):
    """The folder of a reward model that the stage `train` made."""
    from halo_methods.components import BradleyTerry
    from halo_trainer.train.options import Train

    folder = tmp_path_factory.mktemp("reward")
    context = stage_context(
        folder, data={"data": data}, models={"from": ModelInput(str(causal), None, "c")}
    )
    options = {"batch_size": 4, "learning_rate": 1e-2, "epochs": 8, "device": "cpu"}
    Train(loss=BradleyTerry(), data="train", **options).run(context)
    return folder / "model"


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


# Models that were made elsewhere.


def classifier(folder, tokenizer, **options):
    import torch
    from transformers import LlamaForSequenceClassification

    torch.manual_seed(1)
    model = LlamaForSequenceClassification(tiny_config(vocab_size=len(tokenizer), **options))
    return save(folder, model.eval(), tokenizer)


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


def test_a_text_without_tokens_is_unscored_with_a_reason(trained):
    asked = ((question("cow"), text) for text in ("moo", ""))
    one, other = score(judge(trained, reads="completion"), *asked)
    assert one.value is not None
    assert (other.value, other.reason) == (None, "the text has no tokens")


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


# Where the model comes from.


def resolved(**options):
    document = Document("spec.yaml", Path("/"), {})
    mistakes = Mistakes(document)
    given = {"use": "reward-model", **options}
    found = Resolver(discover(), mistakes).resolve("judge", given, ("judge",))
    return found, [error.message for error in mistakes.errors]


def test_the_identity_holds_the_digest_of_the_folder_and_not_its_place(trained, tmp_path):
    copy = tmp_path / "elsewhere"
    shutil.copytree(trained, copy)
    first, _ = resolved(path=str(trained))
    second, _ = resolved(path=str(copy), batch_size=2, device="cpu", processes=2)
    assert component_identity(first) == component_identity(second)
    assert component_identity(first)["files"] == {"model": folder_digest(trained)}
    (copy / "config.json").write_text((copy / "config.json").read_text() + " ")
    third, _ = resolved(path=str(copy), max_length=64)
    assert component_identity(third) != component_identity(second)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expected exactly one of from, path and hub; got none"),
        ({"hub": "a/b", "from": "rm"}, "expected exactly one of from, path and hub; got from and"),
        ({"from": "rm", "revision": "main"}, "only a model from the hub has a revision"),
        ({"path": "/nowhere"}, "/nowhere has no config.json; expected a folder saved by"),
    ],
)
def test_a_model_that_cannot_be_one_is_told(options, message):
    _, (found,) = resolved(**options)
    assert found.startswith(message)


def test_a_stages_model_is_the_one_that_the_context_names(trained, tmp_path):
    named = RewardModel(**{"from": "rm", "device": "cpu"})
    given = ModelInput(str(trained), None, "key")
    other = ModelInput("a/b", "v1", "key")
    context = judge_context(stage_context(tmp_path, models={"judge.from": given, "from": other}))
    assert context.models == {"from": given}
    assert context.folder == tmp_path / "judge"
    assert score(named, ALL[0], models=context.models) == score(judge(trained), ALL[0])


def test_a_model_of_its_own_goes_before_those_of_the_spec():
    models = {"from": ModelInput("a/b", "v1", "key")}
    assert RewardModel(hub="c/d").model(models) == ModelInput("c/d", "main", "")
    assert RewardModel(**{"from": "rm"}).model(models) == models["from"]


def test_a_stages_model_without_a_spec_is_told():
    with pytest.raises(UserError, match="from: rm is a stage of a spec, and there is none here"):
        score(RewardModel(**{"from": "rm"}), ALL[0])


# The warnings about the model before anything is computed.


def told(made, tmp_path, **given):
    return list(made.check_inputs(Inputs(sketch=tmp_path / "sketch", **given)))


def test_a_classifier_without_mistakes_is_found_to_have_none(trained, tmp_path):
    assert told(judge(trained, max_length=128), tmp_path, begins=True) == []


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ("*.safetensors", "there are no weights in this folder (*.safetensors)"),
        ("token*", "the tokenizer cannot be read"),
    ],
)
def test_a_classifier_that_is_not_whole_is_told_before(trained, tmp_path, left_out, said):
    folder = tmp_path / "part"
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns(left_out))
    ((option, message),) = told(judge(folder), tmp_path)
    assert option == "path"
    assert said in message


def test_a_language_model_and_a_label_that_it_lacks_are_told_before(causal, trained, tmp_path):
    ((option, message),) = told(judge(causal), tmp_path)
    assert option == "path"
    assert "LlamaForCausalLM is a language model and has no head that scores" in message
    ((option, message),) = told(judge(trained, label="toxic"), tmp_path)
    assert option == "label"
    assert "none is called 'toxic'; expected one of them" in message


def test_more_tokens_than_the_classifier_takes_are_told_before(trained, tmp_path):
    assert told(judge(trained, max_length=129), tmp_path) == [
        (
            "max_length",
            "129 is more than the 128 tokens that the model can take; set it to at most 128",
        )
    ]


def test_what_is_told_of_a_judge_stands_below_the_option_judge(causal, tmp_path):
    for stage in (
        JudgeStage(judge=judge(causal), of="answers"),
        Label(judge=judge(causal), of="answers", feedback="scored"),
    ):
        ((option, _),) = told(stage, tmp_path)
        assert option == "judge.path"


def test_a_classifier_that_is_still_to_be_trained_is_judged_by_what_it_starts_from(
    causal, tmp_path
):
    made = RewardModel(**{"from": "rm", "max_length": 1000})
    start = ModelInput(str(causal), None, "c")
    assert told(made, tmp_path) == []
    ((option, _),) = told(made, tmp_path, models={"from": start})
    assert option == "max_length"
