from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from halo_core.errors import DataError, Interrupted, UserError
from halo_core.events import read_events
from halo_core.feedback import prompt_id
from halo_core.rows import DataSet
from halo_core.sampling import Sampling
from halo_core.stage import ModelInput, StageContext, StopFlag
from halo_models.load import load_model, load_tokenizer
from halo_models.save import save_model_folder
from halo_trainer.sample.lengths import sample_lengths
from halo_trainer.sample.options import Sample
from halo_trainer.sample.sampler import Generated, Sampler

MakeData = Callable[..., DataSet]
Run = Callable[..., list[dict[str, Any]]]


def ask(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


ROWS = [
    {"prompt": ask("moo " * (i % 4 + 1) + str(i)), "completion": f"answer {i}"} for i in range(11)
]


@pytest.fixture
def data(make_data: MakeData) -> DataSet:
    return make_data("demonstration", ROWS, name="test")


@pytest.fixture
def context(
    data: DataSet, tiny_model: ModelInput, make_context: Callable[..., StageContext]
) -> Callable[..., StageContext]:
    def make(name: str = "answers", **options: Any) -> StageContext:
        inputs = {"data": {"prompts": data}, "models": {"from": tiny_model}}
        return make_context(**(inputs | {"name": name} | options))

    return make


def build(**options: Any) -> Sample:
    given = {"prompts": "test", "max_new_tokens": 12, "batch_size": 4, "device": "cpu"}
    return Sample.build(json.dumps(given | options), {})


def read(context: StageContext) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (context.folder / "samples.jsonl").open()]


def test_every_prompt_gets_one_sample_with_its_target(
    context: Callable[..., StageContext], tiny_model: ModelInput
) -> None:
    here = context()
    result = build().run(here)
    samples = read(here)
    tokenizer = load_tokenizer(tiny_model, None)
    assert {s["prompt_id"] for s in samples} == {prompt_id(row["prompt"]) for row in ROWS}
    assert all(s["prompt_id"] == prompt_id(s["prompt"]) for s in samples)
    targets = {prompt_id(row["prompt"]): row["completion"] for row in ROWS}
    assert all(s["target"] == targets[s["prompt_id"]] for s in samples)
    for s in samples:
        assert s["tokens"] == len(s["token_ids"]) <= 12
        assert s["completion"] == tokenizer.decode(s["token_ids"])
        assert s["target_tokens"] == len(tokenizer(s["target"])["input_ids"])
        assert (s["finish"] == "length") == (s["tokens"] == 12)
        assert tokenizer.eos_token_id not in s["token_ids"]
        # The lines say the same as the stage says before it runs.
        assert s["sampling_options"] == build().draws_with().column()
    assert result.metrics["n"] == 11
    lengths = sorted(s["tokens"] for s in samples)
    assert result.metrics["len"] == lengths[5]
    assert result.metrics["len_mean"] == pytest.approx(sum(lengths) / 11)
    assert "11 completions" in result.headline
    events = [event for event, _ in read_events(here.folder / "events.jsonl")]
    assert [(e["type"], e["stage"], e["count"]) for e in events] == [("samples", "answers", 11)]
    assert not (here.folder / "samples.partial.jsonl").exists()


def drawn(context: StageContext) -> list[dict[str, Any]]:
    """Returns the samples without log-probabilities, which differ by rounding between batches."""
    return [{k: v for k, v in sample.items() if k != "token_logps"} for sample in read(context)]


@pytest.mark.parametrize(
    ("n", "said"),
    [
        (len(ROWS), []),
        (12, ["n is 12, but the data have 11 distinct prompts, so that fewer are answered"]),
    ],
)
def test_fewer_prompts_than_n_are_told(
    context: Callable[..., StageContext], n: int, said: list[str]
) -> None:
    warnings: list[str] = []
    build(n=n, max_new_tokens=1).run(context(warnings=warnings))
    assert warnings == said


def test_samples_do_not_depend_on_batches_or_on_other_prompts(
    context: Callable[..., StageContext], make_data: MakeData
) -> None:
    whole, single, fewer, turned = (context(name) for name in ("a", "b", "c", "d"))
    build().run(whole)
    build(batch_size=1).run(single)
    build(n=5).run(fewer)
    backwards = make_data("demonstration", ROWS[::-1], name="backwards")
    turned = context("d", data={"prompts": backwards})
    build(batch_size=3).run(turned)
    assert drawn(single) == drawn(whole)
    assert drawn(turned) == drawn(whole)
    assert drawn(fewer) == drawn(whole)[:5]


def test_samples_of_a_prompt_differ_and_the_first_is_the_one_drawn_alone(
    context: Callable[..., StageContext],
) -> None:
    single, several = context("a"), context("b")
    build().run(single)
    result = build(samples_per_prompt=3).run(several)
    made = read(several)
    assert len(made) == result.metrics["n"] == 33
    assert [s["prompt_id"] for s in made[::3]] == [s["prompt_id"] for s in read(single)]
    assert [s["token_ids"] for s in made[::3]] == [s["token_ids"] for s in read(single)]
    for start in range(0, 33, 3):
        group = made[start : start + 3]
        assert len({s["prompt_id"] for s in group}) == 1
    different = [{tuple(s["token_ids"]) for s in made[i : i + 3]} for i in range(0, 33, 3)]
    assert max(map(len, different)) == 3
    events = [event for event, _ in read_events(several.folder / "events.jsonl")]
    assert events[-1]["count"] == 33


def test_fewer_tokens_at_once_change_no_sample(context: Callable[..., StageContext]) -> None:
    whole, few = context("a"), context("b")
    build(samples_per_prompt=2).run(whole)
    build(samples_per_prompt=2, tokens_at_once=100).run(few)
    assert drawn(few) == drawn(whole)


def test_log_probabilities_are_those_of_the_model_before_temperature(
    context: Callable[..., StageContext], tiny_model: ModelInput
) -> None:
    here = context()
    build(temperature=0.7, top_p=0.9, n=4).run(here)
    model = load_model(tiny_model, dtype=torch.float32, device="cpu")
    tokenizer = load_tokenizer(tiny_model, None)
    for sample in read(here):
        text = tokenizer.apply_chat_template(
            sample["prompt"], tokenize=False, add_generation_prompt=True
        )
        prompt = tokenizer(text)["input_ids"]
        made = sample["token_ids"]
        logits = model(torch.tensor([[*prompt, *made]])).logits[0].detach()
        logps = logits.log_softmax(-1)
        expected = [float(logps[len(prompt) - 1 + i, token]) for i, token in enumerate(made)]
        if sample["finish"] == "stop":
            expected.append(float(logps[-1, tokenizer.eos_token_id]))
        assert sample["token_logps"] == pytest.approx(expected, abs=1e-5)


def test_seed_changes_samples_and_order(context: Callable[..., StageContext]) -> None:
    one, two = context("a", seed=1), context("b", seed=2)
    build().run(one)
    build().run(two)
    ids = [[s["prompt_id"] for s in read(c)] for c in (one, two)]
    assert ids[0] != ids[1]
    assert sorted(ids[0]) == sorted(ids[1])
    texts = [{s["prompt_id"]: s["completion"] for s in read(c)} for c in (one, two)]
    assert texts[0] != texts[1]


def test_each_draw_has_other_prompts_and_other_completions(
    context: Callable[..., StageContext],
) -> None:
    plain, first, second = (context(name, seed=1) for name in ("a", "b", "c"))
    build(n=6).run(plain)
    build(n=6, draw=1).run(first)
    build(n=6, draw=2).run(second)
    by_prompt = [{s["prompt_id"]: s["completion"] for s in read(c)} for c in (plain, first, second)]
    for one, other in itertools.combinations(by_prompt, 2):
        assert set(one) != set(other)
        assert all(one[name] != other[name] for name in set(one) & set(other))
    again = context("d", seed=1)
    build(n=6, draw=2).run(again)
    assert read(again) == read(second)


def test_greedy_samples_are_the_models_most_probable_tokens(
    context: Callable[..., StageContext], tiny_model: ModelInput
) -> None:
    here = context()
    build(temperature=0.0, n=3).run(here)
    model = load_model(tiny_model, dtype=torch.float32, device="cpu")
    tokenizer = load_tokenizer(tiny_model, None)
    for sample in read(here):
        text = tokenizer.apply_chat_template(
            sample["prompt"], tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer(text)["input_ids"]
        for token in sample["token_ids"]:
            assert model(torch.tensor([ids])).logits[0, -1].argmax() == token
            ids.append(token)


def test_sampling_stops_at_the_end_token(
    context: Callable[..., StageContext], tiny_model: ModelInput, tmp_path: Path
) -> None:
    model = load_model(tiny_model, dtype=torch.float32, device="cpu")
    tokenizer = load_tokenizer(tiny_model, None)
    with torch.no_grad():
        model.lm_head.weight[:] = 0
    save_model_folder(tmp_path / "flat", model, tokenizer)
    flat = {"from": ModelInput(str(tmp_path / "flat"), None, "")}
    here = context(models=flat)
    # All tokens are equally probable: with temperature 0 the first one wins, which is the end.
    result = build(temperature=0.0).run(here)
    assert {(s["finish"], s["tokens"], s["completion"]) for s in read(here)} == {("stop", 0, "")}
    assert result.metrics["stopped"] == 1
    assert "100% ended" in result.headline


def _stop_after(batches: int, stop: StopFlag, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sets the flag within the next batch; returns the sizes of the finished batches."""
    sizes: list[int] = []
    whole = Sampler.batch

    def batch(self: Any, prompts: Any, drew: Any = None) -> Any:
        if len(sizes) == batches:
            stop.set(2)
        sizes.append(len(prompts))
        return whole(self, prompts, drew)

    monkeypatch.setattr(Sampler, "batch", batch)
    return sizes


def test_interrupted_stage_keeps_whole_batches_and_goes_on(
    context: Callable[..., StageContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = context("whole")
    build().run(whole)
    stop = StopFlag()
    with monkeypatch.context() as patch:
        _stop_after(2, stop, patch)
        with pytest.raises(
            Interrupted, match="8 of 11 samples are kept; run the same command again to continue"
        ):
            build().run(context("killed", stop=stop))
    again = context("killed")
    partial = again.folder / "samples.partial.jsonl"
    assert len(partial.read_text().splitlines()) == 8
    assert not (again.folder / "samples.jsonl").exists()
    sizes = _stop_after(99, StopFlag(), monkeypatch)
    build().run(again)
    assert sizes == [3]
    assert read(again) == read(whole)


def test_torn_line_costs_its_batch_and_nothing_else(
    context: Callable[..., StageContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = context("whole")
    build().run(whole)
    stop = StopFlag()
    with monkeypatch.context() as patch:
        _stop_after(2, stop, patch)
        with pytest.raises(Interrupted):
            build().run(context("killed", stop=stop))
    again = context("killed")
    partial = again.folder / "samples.partial.jsonl"
    partial.write_bytes(partial.read_bytes()[:-9])
    sizes = _stop_after(99, StopFlag(), monkeypatch)
    build().run(again)
    assert sizes == [4, 3]
    assert read(again) == read(whole)


def test_long_prompts_are_cut_and_said_to_be(
    context: Callable[..., StageContext], make_data: MakeData
) -> None:
    rows = [*ROWS, {"prompt": ask("moo " * 90), "completion": "a"}]
    warnings: list[str] = []
    here = context(data={"prompts": make_data("demonstration", rows)}, warnings=warnings)
    build(max_prompt_length=30).run(here)
    assert warnings == [
        "1 of 12 prompts were longer than max_prompt_length 30 and lost their beginning"
    ]
    assert len(read(here)) == 12


@pytest.mark.parametrize(
    ("feedback", "rows", "targets"),
    [
        (
            "paired",
            [{"chosen": "good", "rejected": "bad"}, {"chosen": "later", "rejected": "bad"}],
            "good",
        ),
        (
            "binary",
            [
                {"completion": "bad", "desirable": False},
                {"completion": "good", "desirable": True},
                {"completion": "later", "desirable": True},
            ],
            "good",
        ),
        ("binary", [{"completion": "bad", "desirable": False}], None),
        ("scored", [{"completions": ["bad", "good"], "scores": [0.1, 0.7]}], "good"),
    ],
)
def test_target_is_what_people_preferred(
    context: Callable[..., StageContext],
    make_data: MakeData,
    feedback: str,
    rows: list[dict[str, Any]],
    targets: str | None,
) -> None:
    given = make_data(feedback, [{"prompt": ask("moo?")} | row for row in rows], name="kind")
    here = context(data={"prompts": given})
    build().run(here)
    (sample,) = read(here)
    assert sample["target"] == targets
    assert (sample["target_tokens"] is None) == (targets is None)


CALL = {"type": "function", "function": {"name": "moo", "arguments": {"times": 3}}}


@pytest.mark.parametrize(
    ("feedback", "answer"),
    [
        ("demonstration", {"completion": "", "completion_fields": {"tool_calls": [CALL]}}),
        ("paired", {"chosen": " ", "chosen_fields": {"tool_calls": [CALL]}, "rejected": "no"}),
        (
            "scored",
            {"completions": ["", "no"], "completions_fields": [{"tool_calls": [CALL]}, None]}
            | {"scores": [1.0, 0.0]},
        ),
    ],
)
def test_an_answer_of_calls_alone_is_no_target(
    context: Callable[..., StageContext], make_data: MakeData, feedback: str, answer: Any
) -> None:
    given = make_data(feedback, [{"prompt": ask("moo?")} | answer], name="calls")
    here = context(data={"prompts": given})
    build().run(here)
    (sample,) = read(here)
    assert sample["target"] is sample["target_tokens"] is None
    assert "target_fields" not in sample


def test_a_target_keeps_the_calls_and_thoughts_beside_its_text(
    context: Callable[..., StageContext], make_data: MakeData
) -> None:
    fields = {"reasoning_content": "A cow?", "tool_calls": [CALL]}
    row = {"prompt": ask("moo?"), "completion": "Listen.", "completion_fields": fields}
    here = context(data={"prompts": make_data("demonstration", [row], name="calls")})
    build().run(here)
    (sample,) = read(here)
    assert (sample["target"], sample["target_fields"]) == ("Listen.", fields)


def test_prompts_alone_are_answered_as_those_of_demonstrations_are(
    context: Callable[..., StageContext], make_data: MakeData
) -> None:
    shown, alone = (
        context("shown"),
        context(
            "alone", data={"prompts": make_data("prompts", [{"prompt": r["prompt"]} for r in ROWS])}
        ),
    )
    for here in (shown, alone):
        build().run(here)
    answers = [[(s["prompt_id"], s["token_ids"]) for s in read(here)] for here in (shown, alone)]
    assert answers[0] == answers[1]
    assert all(s["target"] is None for s in read(alone))


def test_raw_text_has_no_prompts(context: Callable[..., StageContext], make_data: MakeData) -> None:
    here = context(data={"prompts": make_data("text", [{"text": "moo"}], name="corpus")})
    with pytest.raises(DataError, match="data set 'corpus': is raw text, which has no prompts"):
        build().run(here)


def test_options_without_effect_are_mistakes() -> None:
    greedy = build(temperature=0.0, top_p=0.9)
    assert list(greedy.mistakes()) == [
        ("top_p", "has no effect when temperature is 0; leave it out")
    ]
    assert list(build(temperature=0.0).mistakes()) == []
    assert list(build(top_k=1, temperature=0.7).mistakes()) == [
        ("temperature", "has no effect when top_k is 1; leave it out")
    ]
    assert list(build(top_p=0.9, top_k=4).mistakes()) == []
    same = build(temperature=0.0, samples_per_prompt=2)
    assert [option for option, _ in same.mistakes()] == ["samples_per_prompt"]
    assert [option for option, _ in build(temperature=0.0, draw=2).mistakes()] == ["draw"]
    assert build(temperature=0.0, draw=2, n=3).mistakes() == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((None, None, None), (1024, 1024)),
        ((None, None, 256), (128, 128)),
        ((None, None, 100_000), (1024, 1024)),
        ((None, 200, 256), (56, 200)),
        ((None, 64, 256), (128, 64)),
        ((30, None, 256), (30, 226)),
        ((4000, 2000, 8192), (4000, 2000)),
    ],
)
def test_lengths_left_out_follow_from_the_model(given: Any, expected: tuple[int, int]) -> None:
    assert sample_lengths(*given) == expected


@pytest.mark.parametrize("given", [(200, 100, 256), (None, 300, 256), (300, None, 256)])
def test_lengths_that_do_not_fit_are_an_error(given: Any) -> None:
    with pytest.raises(UserError, match="not fit into the 256 tokens that the model can take"):
        sample_lengths(*given)


def test_control_tokens_of_a_completion_stay_visible(
    context: Callable[..., StageContext], tiny_model: ModelInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = load_tokenizer(tiny_model, None).convert_tokens_to_ids("<|user|>")
    made = Generated([mark, mark], "length")
    monkeypatch.setattr(Sampler, "batch", lambda _, prompts, drew=None: [made] * len(prompts))
    here = context()
    build().run(here)
    assert {s["completion"] for s in read(here)} == {"<|user|><|user|>"}


def test_bfloat16_samples_repeat(context: Callable[..., StageContext]) -> None:
    one, two = context("a"), context("b")
    build(precision="bfloat16").run(one)
    build(precision="bfloat16").run(two)
    assert read(one) == read(two)


OTHERS = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
    "gpt_neox": {"num_attention_heads": 2, "intermediate_size": 64},
    "qwen3": {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16},
    "opt": {"ffn_dim": 64, "num_attention_heads": 2, "word_embed_proj_dim": 32},
}
SHARED = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}


@pytest.mark.parametrize("model_type", sorted(OTHERS))
def test_left_padding_changes_no_sample_of_other_architectures(
    model_type: str, tiny_tokenizer: Any
) -> None:
    from halo_trainer.scratch.make import draw_model, make_config

    shared = {} if model_type == "gpt2" else SHARED
    if model_type == "opt":
        shared = {k: v for k, v in SHARED.items() if k != "initializer_range"} | {"init_std": 0.2}
    config = make_config({"model_type": model_type} | shared | OTHERS[model_type], tiny_tokenizer)
    model = draw_model(config, seed=0, dtype=torch.float32).eval()
    sampler = Sampler(model, [0], Sampling(), 10, 1)
    prompts = [("a", [5]), ("b", [5, 6, 7, 8, 9, 10, 11, 12]), ("c", [40, 41, 42])]
    together = sampler.batch(prompts)
    alone = [made for one in prompts for made in sampler.batch([one]) or []]
    assert [m.token_ids for m in together or []] == [m.token_ids for m in alone]
    assert any(len(set(made.token_ids)) > 1 for made in together or [])
