"""Mistakes of later stages are found by `halo plan` and by `halo run` before the first stage."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from halo_core import cli
from halo_core.stage import ModelInput

SPEC = """\
name: ahead
seed: 1
model: {path: MODEL}
data:
  train: {use: toy, feedback: paired, size: 40}
  test: {use: toy, feedback: paired, split: test, size: 40}
stages:
  sft: {use: train, loss: sft, data: train, steps: 1, batch_size: 2, max_length: 128}
  kto: {use: train, loss: kto, data: train, steps: 1, batch_size: 2}
  answers: {use: sample, prompts: test, n: 2, max_new_tokens: 8}
  win: {use: judge, judge: longest, of: answers}
reports: []
"""
SCRATCH = """{scratch: {data: train, vocab_size: 300, config: {hidden_size: 32,
  intermediate_size: 48, num_hidden_layers: 2, num_attention_heads: 4,
  max_position_embeddings: 256}}}"""
CONFIG = "model.scratch.config"
NO_LONG = (
    "\"{% for m in messages %}{% if m.role == 'user' and m.content | length > 20 %}"
    "{{ raise_exception('too long') }}{% endif %}{{ m.content }}{% endfor %}\""
)

Run = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture
def run(
    tmp_path: Path,
    tiny_model: ModelInput,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Calls `halo` with a spec that starts from a tiny model; returns code and errors."""
    monkeypatch.chdir(tmp_path)
    path = Path(tiny_model.path)
    for name, left_out in (("bare", "token*"), ("empty", "*.safetensors"), ("cut", "")):
        shutil.copytree(path, tmp_path / name, ignore=shutil.ignore_patterns(left_out))
    (weights,) = (tmp_path / "cut").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])

    def call(command: str, *sets: str, model: str | None = None, text: str = SPEC) -> Any:
        Path("spec.yaml").write_text(text.replace("{path: MODEL}", model or f"{{path: {path}}}"))
        options = [part for value in sets for part in ("--set", value)]
        code = cli.call([command, "spec.yaml", *options, "--json"])
        said = json.loads(capsys.readouterr().out)
        return code, said.get("errors", [])

    return call


Mistake = tuple[list[str], str, str]
MISTAKES: dict[str, Mistake] = {
    "a length above the model's": (
        ["stages.kto.max_length=300"],
        "stages.kto.max_length",
        "max_length 300 is more than the 256 tokens that the model can take",
    ),
    "a prompt that fills the length": (
        ["stages.kto.max_prompt_length=256"],
        "stages.kto.max_prompt_length",
        "max_prompt_length 256 must be at least 1 and less than max_length 256",
    ),
    "no room for a question": (
        ["stages.kto.max_prompt_length=2"],
        "stages.kto.data",
        "max_prompt_length 2 leaves no room for the user's last question",
    ),
    "a completion above the context": (
        ["stages.answers.max_new_tokens=257"],
        "stages.answers.max_new_tokens",
        "a completion of 257 tokens does not fit into the 256 tokens that the model can take, with",
    ),
    "prompt and completion above the context": (
        ["stages.answers.max_prompt_length=200", "stages.answers.max_new_tokens=100"],
        "stages.answers.max_new_tokens",
        "a prompt of 200 and a completion of 100 tokens do not fit into the 256 tokens",
    ),
    "LoRA targets that match nothing": (
        ["stages.kto.lora={targets: [query]}"],
        "stages.kto.lora.targets",
        "the model has no linear layer named 'query'. It has: down_proj, gate_proj",
    ),
    "a token to train that there is not": (
        ["stages.kto.lora={train_tokens: [<|usr|>]}"],
        "stages.kto.lora.train_tokens",
        "'<|usr|>' is not a token of the model's vocabulary. Did you mean '<|user|>'?",
    ),
    "no LoRA targets": (
        ["stages.kto.lora={targets: []}"],
        "stages.kto.lora",
        "cannot be used: NoMatchingPeftModuleError: No `target_modules` passed",
    ),
    "a template that renders nothing": (
        ["stages.kto.template='hello'"],
        "stages.kto.template",
        "the chat template renders a user's message as 'hello', without its content",
    ),
    "a template that is none": (
        ["stages.answers.template='{% if'"],
        "stages.answers.template",
        "the chat template cannot render a user's message: TemplateSyntaxError",
    ),
    "a template that refuses rows": (
        [f"stages.kto.template={NO_LONG}"],
        "stages.kto.data",
        "the chat template refuses the prompt, whose roles are user: too long",
    ),
    "a template that refuses prompts": (
        [f"stages.answers.template={NO_LONG}"],
        "stages.answers.prompts",
        "the chat template refuses the prompt, whose roles are user: too long",
    ),
    "betas of 1.5": (
        ["stages.kto.optimizer_options={betas: [1.5, 0.9]}"],
        "stages.kto.optimizer_options",
        "betas: got [1.5, 0.9]; expected two numbers of at least 0 and below 1",
    ),
    "half of the betas": (
        ["stages.kto.optimizer_options={betas: 0.9}"],
        "stages.kto.optimizer_options",
        "betas: got 0.9; expected two numbers of at least 0 and below 1",
    ),
    "an option that the optimiser lacks": (
        ["stages.kto.optimizer_options={momentum: 0.9}"],
        "stages.kto.optimizer_options",
        "AdamW has no option 'momentum'. Known: amsgrad, betas, eps",
    ),
    "options of the optimiser that do not go together": (
        ["stages.kto.optimizer=SGD", "stages.kto.optimizer_options={nesterov: true}"],
        "stages.kto.optimizer_options",
        "Nesterov momentum requires a momentum and zero dampening",
    ),
    "a control token that is taken": (
        ["stages.kto.loss={use: csft, good_token: <|user|>}"],
        "stages.kto.loss",
        "the control token '<|user|>' already means something",
    ),
    "no tokenizer": (["model.path=bare"], "model.path", "bare: the tokenizer cannot be read"),
    "no weights": (["model.path=empty"], "model.path", "there are no weights in this folder"),
    "cut weights": (["model.path=cut"], "model.path", "model.safetensors cannot be read"),
    "the same rows to train and to test": (
        ["data.test={use: toy, feedback: paired, size: 40}"],
        "data set 'test'",
        "40 of its 40 rows are also in 'train'",
    ),
    "a reward model that samples": (
        ["stages.kto.loss=bradley-terry"],
        "stages.answers.from",
        "LlamaForSequenceClassification is not a causal language model",
    ),
    "a language model that scores": (
        ["stages.win.judge={use: reward-model, path: cut}"],
        "stages.win.judge.path",
        "LlamaForCausalLM is a language model and has no head that scores",
    ),
    "a judge that reads too much": (
        [
            "stages.rm={use: train, loss: bradley-terry, data: train, steps: 1}",
            "stages.answers.from=kto",
            "stages.last={use: judge, of: answers, judge: {use: reward-model, from: rm, "
            "max_length: 300}}",
        ],
        "stages.last.judge.max_length",
        "300 is more than the 256 tokens that the model can take; set it to at most 256",
    ),
}
MISMADE: dict[str, Mistake] = {
    "an activation that there is not": (
        [f"{CONFIG}.hidden_act=nothing"],
        CONFIG,
        "no llama can be made from it: no such name: 'nothing'",
    ),
    "heads that do not divide the hidden size": (
        [f"{CONFIG}.num_attention_heads=3"],
        CONFIG,
        "The hidden size (32) is not a multiple of the number of attention heads (3)",
    ),
    "key heads that do not divide the heads": (
        [f"{CONFIG}.num_key_value_heads=3"],
        CONFIG,
        "no llama can be made from it: The size of tensor a (4) must match",
    ),
    "a size below 0": (
        [f"{CONFIG}.hidden_size=-4"],
        CONFIG,
        "hidden_size is -4; expected a whole number of at least 1",
    ),
    "a key that there is not": (
        [f"{CONFIG}.hidden_sizes=8"],
        f"{CONFIG}.hidden_sizes",
        "there is no key 'hidden_sizes'. Did you mean 'hidden_size'?",
    ),
    "a template of a new model": (
        ["model.scratch.template='hello'"],
        "model.scratch.template",
        "the chat template renders a user's message as 'hello', without its content",
    ),
    "a length above that of the model to be made": (
        ["stages.kto.max_length=300"],
        "stages.kto.max_length",
        "max_length 300 is more than the 256 tokens that the model can take",
    ),
    "LoRA targets that the model to be made lacks": (
        ["stages.kto.lora={targets: [query]}"],
        "stages.kto.lora.targets",
        "the model has no linear layer named 'query'",
    ),
    "a model that cannot become a reward model": (
        [
            f"{CONFIG}={{model_type: rwkv, hidden_size: 32, num_hidden_layers: 1}}",
            "stages.kto.loss=bradley-terry",
        ],
        "stages.kto.loss",
        "RwkvForCausalLM has no sequence classifier in transformers",
    ),
}


PLANNED = {
    "a length above the model's",
    "a completion above the context",
    "a template that refuses rows",
    "cut weights",
    "the same rows to train and to test",
    "a judge that reads too much",
    "a length above that of the model to be made",
    "a size below 0",
}
"""Mistakes that `halo plan` is asked about too. It calls the function that finds all of them."""


def check(run: Run, what: str, mistake: Mistake, **options: str) -> None:
    sets, place, message = mistake
    for command in ("plan", "run") if what in PLANNED else ("run",):
        code, errors = run(command, *sets, **options)
        assert code == 2
        (error,) = errors
        assert error["location"].endswith(f": {place}")
        assert error["location"].startswith(("spec.yaml:", "--set "))
        assert message in error["message"]
    assert not list(Path("workspace").glob("stages/*"))


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_told_at_its_option_before_the_first_stage(run: Run, what: str) -> None:
    check(run, what, MISTAKES[what])


@pytest.mark.parametrize("what", MISMADE)
def test_a_mistake_about_a_model_to_be_made_is_told_before_it_is_made(run: Run, what: str) -> None:
    check(run, what, MISMADE[what], model=SCRATCH)


@pytest.mark.parametrize("model", [None, SCRATCH])
def test_groups_without_the_samplers_numbers_are_told_before_the_first_stage(
    run: Run, model: str | None
) -> None:
    row = {"prompt": "Cow?", "completions": ["Moo.", "Quack."], "scores": [1, 0]}
    Path("groups.jsonl").write_text(
        "".join(json.dumps(row | {"id": str(i)}) + "\n" for i in (1, 2))
    )
    text = SPEC.replace("reports:", "  grpo: {use: train, loss: grpo, data: groups}\nreports:")
    text = text.replace("data:\n", "data:\n  groups: {use: jsonl, path: groups.jsonl}\n", 1)
    code, errors = run("plan", model=model, text=text)
    assert (code, errors[0]["location"].rpartition(" ")[2]) == (2, "stages.grpo.data")
    assert "4 of 4 completions lack the sampler's log-probabilities" in errors[0]["message"]
    assert run("plan", "stages.grpo.loss.ratio_to=reference", model=model, text=text)[0] == 0


def test_all_mistakes_are_told_together_in_the_order_of_the_spec(run: Run) -> None:
    text = SPEC.replace("batch_size: 2, max_length: 128", "max_length: 512").replace(
        "n: 2, max_new_tokens: 8", "n: 2, max_new_tokens: 300, template: '{% if'"
    )
    code, errors = run("plan", text=text)
    assert code == 2
    assert [error["location"] for error in errors] == [
        "spec.yaml:8:55: stages.sft.max_length",
        "spec.yaml:10:47: stages.answers.max_new_tokens",
        "spec.yaml:10:68: stages.answers.template",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("model", [None, SCRATCH])
def test_a_spec_without_mistakes_is_planned_and_run(run: Run, model: str | None) -> None:
    more = (
        "stages.rm={use: train, from: sft, loss: bradley-terry, data: train, steps: 1}",
        "stages.answers.from=kto",
        "stages.win.judge={use: reward-model, from: rm, max_length: 200}",
        "stages.kto.lora={}",
    )
    sets = more if model is None else ("stages.kto.loss=csft",)
    text = SPEC.replace(
        "  answers:", "  rm: {use: train, loss: sft, data: train, steps: 1}\n  answers:"
    )
    assert run("plan", *sets, model=model, text=text) == (0, [])
    assert run("run", *sets, model=model, text=text) == (0, [])


def test_a_gpu_that_is_not_there_is_told_by_the_run_and_not_by_the_plan(run: Run) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert run("plan", "stages.kto.device=cuda") == (0, [])
    code, errors = run("run", "stages.kto.device=cuda", "stages.answers.device=cuda")
    assert code == 2
    assert [error["location"].rpartition(": ")[2] for error in errors] == [
        "stages.kto.device",
        "stages.answers.device",
    ]
    assert "torch sees no GPU" in errors[0]["message"]
    many = [f"stages.{id_}.processes=1000" for id_ in ("kto", "answers")]
    assert run("plan", *many) == (0, [])  # The plan may be for another machine.
    code, errors = run("run", *many)
    assert code == 2
    assert [error["location"].rpartition(": ")[2] for error in errors] == [
        "stages.kto.processes",
        "stages.answers.processes",
    ]
    assert "each takes about 0.5 GB" in errors[0]["message"]


@pytest.mark.parametrize("model", [None, SCRATCH])
def test_an_engine_that_is_not_here_is_told_before_the_first_stage(
    run: Run, model: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    engine = "stages.answers.engine=vllm"
    endpoint = (
        "stages.answers.endpoint={url: 'http://127.0.0.1:9/v1', model: m}",
        "stages.answers.api_key_env=NO_SUCH_KEY",
    )
    for sets, where, message in (
        ([engine], "engine", "needs the package vllm, which is not installed: pip install vllm"),
        (endpoint, "api_key_env", "the environment variable NO_SUCH_KEY is not set: set it to the"),
    ):
        assert run("plan", *sets, model=model) == (0, [])
        code, (error,) = run("run", *sets, model=model)
        assert (code, error["location"].rpartition(": ")[2]) == (2, f"stages.answers.{where}")
        assert message in error["message"]
    assert not list(Path("workspace").glob("stages/*"))


def test_packages_that_cannot_spread_weights_are_told_before_the_first_stage(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers
    from torch.distributed.fsdp import FSDPModule

    monkeypatch.delattr(FSDPModule, "reset_iter_state")
    monkeypatch.setitem(sys.modules, "transformers.distributed.sharding_utils", None)
    spread = ("stages.kto.sharding=full", "stages.kto.processes=2")
    assert run("plan", *spread) == (0, [])
    code, (error,) = run("run", *spread)
    assert (code, error["location"].rpartition(": ")[2]) == (2, "stages.kto.sharding")
    assert error["message"] == (
        f"weights cannot be spread over processes, because torch {version('torch')} lacks "
        f"FSDPModule.reset_iter_state and transformers {transformers.__version__} lacks "
        "distributed.sharding_utils; expected torch>=2.13 and transformers>=5.14: run pip install "
        "-U 'torch>=2.13' 'transformers>=5.14', or set sharding: none"
    )


def test_a_model_on_the_hub_that_is_not_here_is_passed_over_by_the_plan(run: Run) -> None:
    assert run("plan", "stages.kto.max_length=9999", model="{hub: no/such}") == (0, [])


def test_a_model_on_the_hub_is_looked_at_where_it_was_fetched_before(
    run: Run, tmp_path: Path, tiny_model: ModelInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "hub" / "models--no--such"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("abc")
    # The state of a plan if only configuration and tokenizer were downloaded.
    left_out = shutil.ignore_patterns("*.safetensors")
    shutil.copytree(tiny_model.path, kept / "snapshots" / "abc", ignore=left_out)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert run("plan", model="{hub: no/such}") == (0, [])
    code, errors = run("plan", "stages.kto.max_length=9999", model="{hub: no/such}")
    assert code == 2
    assert "max_length 9999 is more than the 256 tokens" in errors[0]["message"]


def test_checking_a_spec_needs_no_torch(run: Run) -> None:
    run("plan")
    program = "import sys; from halo_core import cli; code = cli.call(['validate', 'spec.yaml'])"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; sys.exit(code or 9 * ('torch' in sys.modules))"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
