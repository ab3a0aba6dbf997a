from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from halo_core.errors import ModelError
from halo_trainer.batch.packing import Scored, pack, pack_onto
from halo_trainer.model import output_head
from halo_trainer.model.probe import make_scorer
from halo_trainer.model.scorer import Scorer

RELATIVE = 1e-5
VOCABULARY = 60
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
GROUPED = SIZES | {"num_key_value_heads": 2, "head_dim": 8}
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3}
ENDS = {"bos_token_id": 0, "eos_token_id": 1}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
PACKED: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", GROUPED),
    "llama with tied head": ("llama", GROUPED | {"tie_word_embeddings": True}),
    "gpt_neox": ("gpt_neox", SIZES),
    "qwen2": ("qwen2", GROUPED),
    "qwen3": ("qwen3", GROUPED),
    "olmo2": ("olmo2", GROUPED),
    "phi": ("phi", SIZES),
    "gemma": ("gemma", GROUPED),
    "gemma3 with a short window": ("gemma3_text", GROUPED | {"sliding_window": 6}),
    "cohere with scaled logits": ("cohere", SIZES | {"logit_scale": 0.25}),
    "opt": ("opt", SIZES | {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "mixtral": ("mixtral", GROUPED | EXPERTS),
    "mistral with a short window": ("mistral", GROUPED | {"sliding_window": 5}),
    "gemma2 with soft caps": (
        "gemma2",
        GROUPED
        | {"sliding_window": 6, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    ),
    "granite with scaled logits": ("granite", SIZES | {"logits_scaling": 4.0}),
    "gpt2": ("gpt2", GPT2 | ENDS),
    "gpt_oss with sinks": ("gpt_oss", GROUPED | {"sliding_window": 6} | EXPERTS),
}
PADDED: dict[str, tuple[str, dict[str, Any]]] = {
    "bloom": ("bloom", {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "llama4 with chunks": (
        "llama4_text",
        GROUPED | {"attention_chunk_size": 8, "intermediate_size_mlp": 48} | EXPERTS,
    ),
}

RECURRENT = GROUPED | {
    "initializer_range": 0.02,
    "mamba_d_ssm": 32,
    "mamba_n_heads": 4,
    "mamba_d_head": 8,
    "mamba_d_state": 16,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 16,
    "lm_head_multiplier": 0.5,
}
"""Layers with a state that goes from token to token, and an unusual factor of the scores."""

LONG_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [1.0, 9.0, 17.0, 25.0],
    "original_max_position_embeddings": 30,
}
"""Other angles for all positions if a sequence has more than 30 tokens, as in Phi-3."""
TURNING = SIZES | {
    "num_key_value_heads": 2,
    "original_max_position_embeddings": 30,
    "max_position_embeddings": 128,
    "rope_parameters": LONG_ROPE,
}


def make(kind: str, options: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **options))
    return model.float().eval()


def sequences() -> list[Scored]:
    rng = np.random.Generator(np.random.PCG64(1))
    lengths = [(3, 5), (1, 1), (20, 17), (1, 40), (7, 2), (2, 30)]
    made = [Scored(draw(rng, prompt), draw(rng, completion)) for prompt, completion in lengths]
    # Some share a prompt: one of 20 tokens three times, one of a single token, one of 7.
    shared = [(2, 9), (2, 1), (3, 12), (4, 6)]
    return made + [Scored(made[i].prompt_ids, draw(rng, tokens)) for i, tokens in shared]


def mismatched() -> list[Scored]:
    """Other completions for prompts of `sequences`, and one with its own prompt."""
    rng = np.random.Generator(np.random.PCG64(2))
    made = [Scored(s.prompt_ids, draw(rng, 4 + i)) for i, s in enumerate(sequences()[:5])]
    return [
        *made,
        made[2]._replace(completion_ids=draw(rng, 3)),
        Scored(draw(rng, 6), draw(rng, 5)),
    ]


def draw(rng: np.random.Generator, tokens: int) -> Any:
    return rng.integers(0, VOCABULARY, tokens).astype(np.int32)


def alone(model: Any, wanted: list[Scored]) -> torch.Tensor:
    """Computes each sequence alone, with the model's own attention and log_softmax."""
    logps = []
    for sequence in wanted:
        ids = torch.tensor(np.concatenate([sequence.prompt_ids, sequence.completion_ids])).long()
        found = model(input_ids=ids[None]).logits[0, :-1].log_softmax(-1)
        chosen = found[torch.arange(len(ids) - 1), ids[1:]]
        logps.append(chosen[len(sequence.prompt_ids) - 1 :])
    return torch.cat(logps)


def gradients(model: Any, logps: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    (logps * torch.linspace(-1, 1, len(logps))).sum().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


Expected = tuple[torch.Tensor, dict[str, torch.Tensor]]


def each_alone(model: Any, attention: str) -> Expected:
    """Returns log-probabilities and gradients of each sequence alone."""
    taken = model.config._attn_implementation
    model.set_attn_implementation(attention)
    logps = alone(model, sequences())
    expected = gradients(model, logps)
    model.set_attn_implementation(taken)
    return logps.detach(), expected


@cache
def expected_of(name: str) -> Expected:
    """Returns what `each_alone` gives for a model of `PACKED` that nothing else has used."""
    model = make(*PACKED[name])
    return each_alone(model, model.config._attn_implementation)


def check_same_as_alone(
    model: Any, scorer: Scorer, attention: str, known: Expected | None = None
) -> None:
    packed = scorer(pack(sequences(), share=scorer.shares)).token_logps
    found = gradients(model, packed)
    expected_logps, expected = known or each_alone(model, attention)
    assert (packed - expected_logps).norm() <= RELATIVE * expected_logps.norm()
    assert found.keys() == expected.keys()
    largest = max(gradient.norm() for gradient in expected.values())
    for name, gradient in expected.items():
        # Some gradients are zero in exact arithmetic: softmax ignores a bias of the keys.
        error = (found[name] - gradient).norm()
        assert error <= RELATIVE * max(gradient.norm(), 1e-2 * largest), name


@pytest.mark.parametrize("name", PACKED)
def test_packed_log_probabilities_and_gradients_are_those_of_each_sequence_alone(name: str) -> None:
    kind, options = PACKED[name]
    model = make(kind, options)
    attention = model.config._attn_implementation
    scorer = make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=pytest.fail)
    assert (scorer.route, scorer.shares, scorer.chunked) == ("packed", True, True)
    check_same_as_alone(model, scorer, attention, expected_of(name))


@pytest.mark.parametrize("name", PACKED)
def test_log_probabilities_and_gradients_are_the_same_without_chunks_and_shared_prompts(
    name: str,
) -> None:
    kind, options = PACKED[name]
    model = make(kind, options)
    attention = model.config._attn_implementation
    scorer = make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=pytest.fail)
    scorer.shares = scorer.chunked = False
    check_same_as_alone(model, scorer, attention, expected_of(name))


@pytest.mark.parametrize("name", PACKED)
def test_completions_continue_the_prompts_of_a_row_that_was_computed_before(name: str) -> None:
    kind, options = PACKED[name]
    model = make(kind, options)
    attention = model.config._attn_implementation
    scorer = make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=pytest.fail)
    base = pack(sequences()).keeping()
    scorer(base)
    row = pack_onto(base, mismatched())
    # Prompts of one token and new ones are computed; of the others, the last token is.
    assert len(row.input_ids) == 4 + 5 + 6 + 7 + 8 + 3 + 10
    with torch.no_grad():
        found = scorer(row.onto(base)).token_logps
        model.set_attn_implementation(attention)
        expected = alone(model, mismatched())
    assert (found - expected).norm() <= RELATIVE * expected.norm()


@pytest.mark.parametrize("name", PADDED)
def test_a_model_that_cannot_pack_is_padded_with_a_warning(name: str) -> None:
    kind, options = PADDED[name]
    model = make(kind, options)
    warnings: list[str] = []
    attention = model.config._attn_implementation
    scorer = make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=warnings.append)
    assert scorer.route == "padded"
    assert len(warnings) == 1
    assert type(model).__name__ in warnings[0]
    check_same_as_alone(model, scorer, attention)


def test_small_new_weights_do_not_hide_what_flows_from_sequence_to_sequence() -> None:
    # With these weights a state that continues in the next sequence changes a log-probability by
    # 2e-5 of its size, and rounding by 1e-7.
    model = make("falcon_h1", RECURRENT)
    warnings: list[str] = []
    attention = model.config._attn_implementation
    scorer = make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=warnings.append)
    assert scorer.route == "padded"
    assert scorer.together
    assert "with packed sequences, so they are padded" in warnings[0]
    check_same_as_alone(model, scorer, attention)


@pytest.mark.parametrize("name", PACKED)
def test_small_new_weights_are_packed(name: str) -> None:
    kind, options = PACKED[name]
    small = {"initializer_range": 0.02}
    model = make(kind, options | small)
    scorer = make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=pytest.fail)
    assert (scorer.route, scorer.shares, scorer.chunked) == ("packed", True, True)


def test_a_model_whose_longest_sequence_turns_the_others_computes_each_alone() -> None:
    model = make("phi3", TURNING)
    warnings: list[str] = []
    attention = model.config._attn_implementation
    scorer = make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=warnings.append)
    assert "several sequences at one time, so they are computed one after another" in warnings[0]
    lengths = [s.tokens for s in sequences()]
    assert min(lengths) < 30 < max(lengths)
    check_same_as_alone(model, scorer, attention)
    # Without a sequence of that length, all have the same angles.
    scorer = make_scorer(model, compute_dtype=torch.float32, max_length=30, warn=pytest.fail)
    assert scorer.shares


def test_a_sequence_does_not_feel_its_neighbours() -> None:
    model = make("llama", GROUPED)
    scorer = make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=pytest.fail)
    first, *rest = sequences()[:6]
    others = [Scored(s.prompt_ids[::-1], (s.completion_ids + 1) % VOCABULARY) for s in rest]
    size = len(first.completion_ids)
    with torch.no_grad():
        before, after = (
            scorer(pack([first, *rest])).token_logps,
            scorer(pack([first, *others])).token_logps,
        )
    assert torch.equal(before[:size], after[:size])
    assert not torch.equal(before[size:], after[size:])


def test_only_completion_positions_reach_the_output_head(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("llama", GROUPED)
    scorer = make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=pytest.fail)
    rows = []
    compute = output_head.linear_logps

    def counted(head: Any, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        rows.append(states.shape)
        return compute(head, states, targets)

    monkeypatch.setattr(output_head, "linear_logps", counted)
    scorer(pack(sequences()))
    assert rows == [(sum(len(s.completion_ids) for s in sequences()), 32)]


def test_no_padding_is_computed_outside_attention() -> None:
    model = make("llama", GROUPED)
    scorer = make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=pytest.fail)
    tokens = []
    model.model.layers[0].mlp.register_forward_hook(lambda *call: tokens.append(call[1][0].shape))
    scorer(pack(sequences()))
    # The prompt of 20 tokens is computed once for three completions, and that of 7 for two. A
    # branch needs the last token of its prompt.
    shared = 2 * (20 - 1) + (7 - 1)
    assert tokens == [(1, sum(s.tokens for s in sequences()) - shared, 32)]


def test_equal_prompts_are_computed_once_in_a_row_of_any_order() -> None:
    model = make("llama", GROUPED)
    scorer = make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=pytest.fail)
    order = np.random.Generator(np.random.PCG64(3)).permutation(len(sequences()))
    mixed = [sequences()[i] for i in order]
    with torch.no_grad():
        found = scorer(pack(mixed)).token_logps
        apart = scorer(pack(mixed, share=False)).token_logps
    assert (found - apart).norm() <= RELATIVE * apart.norm()
    assert not torch.equal(pack(mixed).input_ids, pack(mixed, share=False).input_ids)


def test_gradient_checkpointing_changes_nothing() -> None:
    model = make("llama", GROUPED)
    scorer = make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=pytest.fail)
    before = gradients(model, scorer(pack(sequences())).token_logps)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    after = gradients(model, scorer(pack(sequences())).token_logps)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_bfloat16_scorer_is_near_the_float32_one() -> None:
    model = make("llama", GROUPED | {"initializer_range": 0.05})
    scorer = make_scorer(model, compute_dtype=torch.bfloat16, max_length=64, warn=pytest.fail)
    with torch.no_grad():
        found = scorer(pack(sequences())).token_logps
        expected = alone(make("llama", GROUPED | {"initializer_range": 0.05}), sequences())
    assert found.dtype == torch.float32
    assert 0 < (found - expected).abs().max() < 0.05


def test_a_model_whose_head_is_unknown_keeps_whole_scores_with_a_warning() -> None:
    model = make("llama", GROUPED)
    forward = model.forward

    def scaled(**inputs: Any) -> Any:
        output = forward(**inputs)
        output.logits = output.logits * 0.5
        return output

    model.forward = scaled
    warnings: list[str] = []
    attention = model.config._attn_implementation
    scorer = make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=warnings.append)
    assert (scorer.route, scorer.shares, scorer.chunked) == ("packed", True, False)
    assert len(warnings) == 1
    assert "the scores of the whole vocabulary are computed at one time" in warnings[0]
    check_same_as_alone(model, scorer, attention)


def test_a_model_that_computes_no_branches_gets_each_prompt_again_with_a_warning() -> None:
    model = make("llama", GROUPED)
    forward = model.model.forward

    def without_branches(*args: Any, **inputs: Any) -> Any:
        if inputs.get("packed") is not None and inputs["packed"].gather_keys is not None:
            raise ValueError("no branches")
        return forward(*args, **inputs)

    model.model.forward = without_branches
    warnings: list[str] = []
    attention = model.config._attn_implementation
    scorer = make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=warnings.append)
    assert (scorer.route, scorer.shares, scorer.chunked) == ("packed", False, True)
    assert len(warnings) == 1
    assert "share a prompt, so it is computed for each of them" in warnings[0]
    check_same_as_alone(model, scorer, attention)


def test_a_model_that_agrees_on_neither_path_is_refused() -> None:
    model = make("llama", GROUPED)
    forward = model.forward

    def alone_only(**inputs: Any) -> Any:
        if "logits_to_keep" in inputs:
            raise TypeError("unexpected keyword")
        return forward(**inputs)

    model.forward = alone_only
    model.get_decoder = lambda: model
    with pytest.raises(ModelError, match="LlamaForCausalLM gives other log-probabilities"):
        make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=pytest.fail)
