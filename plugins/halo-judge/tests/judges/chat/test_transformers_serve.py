"""A real endpoint that shares no code with halo: `transformers serve` with a tiny model."""

import json
from pathlib import Path

import pytest

from halo_core.cli import call

pytestmark = [pytest.mark.slow(seconds=5), pytest.mark.timeout(600)]
PAIRS = 6
ANSWER = "A"
TEMPLATE = """
user = "{prompt} {a} {b}"
reminder = "Say A or B."
[answer]
form = "last-line"
pattern = "(A|B)"
labels = {A = "A", B = "B"}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model that always says A: only the bias of its last layer is not zero."""
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    words = {"<end>": 0, ANSWER: 1, "<unknown>": 2}
    whole = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unknown>"))
    whole.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=whole, eos_token="<end>", unk_token="<unknown>", pad_token="<end>"
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }} {% endfor %}"
    config = transformers.PhiConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=512,
        eos_token_id=0,
        bos_token_id=0,
        pad_token_id=0,
    )
    phi = transformers.PhiForCausalLM(config)
    phi.lm_head.weight.data.zero_()
    phi.lm_head.bias.data.zero_()
    phi.lm_head.bias.data[words[ANSWER]] = 5.0
    folder = tmp_path_factory.mktemp("served") / "model"
    phi.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def address(model: Path, transformers_serve):
    """The address of the endpoint, without a path."""
    with transformers_serve(model) as url:
        yield url


@pytest.fixture
def judge(tmp_path, monkeypatch, capfd, model, address):
    """Compares six pairs of texts; returns the exit code and what is said."""
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    Path("template.toml").write_text(TEMPLATE)
    for name in ("a", "b"):
        rows = [
            {"instruction": f"q{n}", "output": f"{name} {n}", "generator": name}
            for n in range(PAIRS)
        ]
        Path(f"{name}.json").write_text(json.dumps(rows))

    def go(**options) -> tuple[int, str]:
        given = {
            "use": "gpt-4",
            "base_url": f"{address}/v1",
            "model": str(model),
            "template_file": "template.toml",
            "max_tokens": 1,
            "api_key_env": None,
            "retries": 1,
            **options,
        }
        code = call(["judge", "--a", "a.json", "--b", "b.json", "--judge", json.dumps(given)])
        out, err = capfd.readouterr()
        return code, " ".join((out + err).split())

    return go


def test_a_real_endpoint_is_asked_and_its_replies_are_kept(judge):
    code, said = judge()
    assert code == 0, said
    assert f"flips {PAIRS} of {PAIRS}" in said  # It always says A, so each duel is a tie.
    code, said = judge()
    assert code == 0
    assert f"all {2 * PAIRS} verdicts" in said


def test_log_probabilities_that_it_leaves_out_are_told(judge):
    code, said = judge(weighted=True)
    assert code == 0, said
    assert (
        f"{2 * PAIRS} of {2 * PAIRS} verdicts of the judge gpt-4 have no certainty: the endpoint "
        f"sent no log-probabilities ({2 * PAIRS})"
    ) in said


def test_a_wrong_model_stops_the_stage_with_its_own_words(judge):
    code, said = judge(model="another")
    assert code == 2
    assert "the endpoint answered none of the first 8 requests: Error code: 400 - " in said
    assert "requested 'another'" in said


def test_a_wrong_path_stops_the_stage(judge, address):
    code, said = judge(base_url=address)
    assert code == 2
    assert "Error code: 404 - Not Found; the endpoint knows no such model or address" in said


def test_a_reply_without_a_verdict_is_no_result(judge):
    Path("template.toml").write_text(TEMPLATE.replace("(A|B)", "Better: (A|B)"))
    code, said = judge()
    assert code == 1
    assert (
        f"gpt-4 scored none of {PAIRS} comparisons; the first: cut off before the verdict" in said
    )
