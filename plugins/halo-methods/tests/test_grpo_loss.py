"""GRPO and its variants against plain Python, closed forms, symmetries and mutants."""

import itertools
import math
import random
from statistics import fmean, stdev

import pytest
import torch
from pydantic import ValidationError

from halo_core.testing import loss_batch
from halo_methods.components import GRPO, Humanline
from halo_methods.grpo import sequence_logratios, token_divergences
from halo_methods.shared.groups import advantages_within_groups

RNG = random.Random(11)
GROUPS = [0, 0, 0, 1, 1, 2, 2, 2]
SAMPLER = [[-RNG.uniform(0.1, 2) for _ in range(1 + k % 4)] for k in range(len(GROUPS))]
POLICY = [[logp + RNG.uniform(-0.6, 0.6) for logp in row] for row in SAMPLER]
REFERENCE = [[logp + RNG.uniform(-0.6, 0.6) for logp in row] for row in SAMPLER]
SCORES = [1.0, 0.0, 4.0, 0.5, -0.5, 2.0, 2.0, 2.0]  # the last group has equal scores
VARIANTS = [
    dict(zip(("advantage", "aggregate", "ratio_level", "ratio_to"), row, strict=True))
    for row in itertools.product(
        ("grpo", "no_std", "leave_one_out"),
        ("sequence", "token", "constant"),
        ("token", "sequence"),
        ("sampler", "reference"),
    )
]


def batch(policy=POLICY, scores=SCORES, groups=GROUPS, sampler=SAMPLER, reference=REFERENCE):
    return loss_batch(policy, reference=reference, sampler=sampler, examples=groups, scores=scores)


def made(**options):
    if options.get("aggregate") == "constant":
        options.setdefault("max_completion_length", 7)
    return GRPO(**options)


def total(loss, given):
    output = loss(given)
    return (output.losses * output.counts).sum() / output.counts.sum()


def objective(beta, low, high, *, advantage="grpo", aggregate="sequence", ratio_level="token",
              ratio_to="sampler"):  # fmt: skip
    """The minimised value of the whole batch, completion by completion in plain Python."""
    old = SAMPLER if ratio_to == "sampler" else REFERENCE
    groups, everything, tokens = [], 0.0, 0
    for g in sorted(set(GROUPS)):
        rows = [k for k, group in enumerate(GROUPS) if group == g]
        scores = [SCORES[k] for k in rows]
        values = []
        for k in rows:
            others = [SCORES[other] for other in rows if other != k]
            a = SCORES[k] - fmean(others if advantage == "leave_one_out" else scores)
            a /= stdev(scores) + 1e-4 if advantage == "grpo" else 1
            gaps = [p - o for p, o in zip(POLICY[k], old[k], strict=True)]
            gaps = [fmean(gaps)] * len(gaps) if ratio_level == "sequence" else gaps
            terms = []
            for gap, p, ref in zip(gaps, POLICY[k], REFERENCE[k], strict=True):
                r = math.exp(gap)
                surrogate = min(r * a, min(max(r, 1 - low), 1 + high) * a)
                terms.append(-surrogate + beta * (math.exp(ref - p) - (ref - p) - 1))
            everything, tokens = everything + sum(terms), tokens + len(terms)
            values.append(sum(terms) / 7 if aggregate == "constant" else fmean(terms))
        groups.append(fmean(values))
    return everything / tokens if aggregate == "token" else fmean(groups)


@pytest.mark.parametrize("options", VARIANTS, ids=lambda o: " ".join(o.values()))
def test_loss_is_the_formula_for_every_variant(options):
    loss = made(**options, beta=0.3, epsilon_low=0.1, epsilon_high=0.25)
    expected = objective(0.3, 0.1, 0.25, **options)
    assert float(total(loss, batch())) == pytest.approx(expected, rel=1e-12)


def test_one_loss_per_group_and_weights_only_for_means_over_tokens():
    output = made()(batch())
    assert output.losses.shape == (3,)
    assert output.weights is None
    tokens = made(aggregate="token")(batch()).weights.tolist()
    assert tokens == [sum(len(SAMPLER[k]) for k in range(8) if GROUPS[k] == g) for g in range(3)]


def test_a_policy_that_is_its_sampler_has_the_gradient_of_reinforce():
    given = batch(policy=SAMPLER)
    logps = given.policy_token_logps.requires_grad_()
    total(made(beta=0.0), given).backward()
    advantages = advantages_within_groups(given.scores, given.example_index, 3, kind="grpo")
    index = given.sequence_index
    share = 1 / (given.lengths * given.group_sizes[given.example_index] * 3)
    torch.testing.assert_close(logps.grad, -(advantages * share)[index])


def test_advantages_have_mean_zero_and_equal_scores_have_none():
    scores, groups = torch.tensor(SCORES, dtype=torch.float64), torch.tensor(GROUPS)
    for kind in ("grpo", "no_std", "leave_one_out"):
        found = advantages_within_groups(scores, groups, 3, kind=kind)
        sums = torch.zeros(3, dtype=torch.float64).index_add(0, groups, found)
        torch.testing.assert_close(sums, torch.zeros_like(sums), atol=1e-12, rtol=0)
        assert torch.equal(found[5:], torch.zeros(3, dtype=torch.float64))
    grpo = advantages_within_groups(scores, groups, 3, kind="grpo")[3:5]
    assert grpo.tolist() == pytest.approx(
        [0.5 / (math.sqrt(0.5) + 1e-4), -0.5 / (math.sqrt(0.5) + 1e-4)]
    )


@pytest.mark.parametrize("score", [0.1, 1e9 + 0.1, -1e-9])
def test_equal_scores_teach_nothing_whatever_they_are(score):
    given = batch(scores=[score] * 8)
    logps = given.policy_token_logps.requires_grad_()
    losses = made(beta=0.0)(given).losses
    assert losses.tolist() == [0.0, 0.0, 0.0]
    losses.sum().backward()
    assert not logps.grad.any()


def test_scores_count_by_their_order_and_distances():
    expected = made()(batch()).losses
    shifted = made()(batch(scores=[score + 50 for score in SCORES])).losses
    torch.testing.assert_close(shifted, expected)
    scaled = made(advantage="no_std", beta=0.0)(batch(scores=[2 * s for s in SCORES])).losses
    torch.testing.assert_close(scaled, 2 * made(advantage="no_std", beta=0.0)(batch()).losses)


def test_tokens_outside_the_clip_in_the_direction_of_the_advantage_get_no_gradient():
    # One token each. Advantages: +, +, -, -; ratios: high, low, low, high.
    ratios = [1.5, 0.5, 0.5, 1.5]
    sampler = [[-1.0]] * 4
    policy = [[-1.0 + math.log(r)] for r in ratios]
    given = batch(policy, [1.0, 1.0, 0.0, 0.0], [0] * 4, sampler, sampler)
    logps = given.policy_token_logps.requires_grad_()
    output = made(beta=0.0)(given)
    output.losses.sum().backward()
    assert [bool(g) for g in logps.grad] == [False, True, False, True]
    assert [float(value) for value in output.metrics["policy/clipped"]] == [2.0, 4.0]


def test_a_wider_upper_bound_lets_more_good_tokens_count():
    given = batch([[-1.0 + math.log(1.25)], [-1.0]], [1.0, 0.0], [0, 0], [[-1.0]] * 2, [[-1.0]] * 2)
    clipped = [
        float(made(beta=0.0, epsilon_high=e)(given).metrics["policy/clipped"][0])
        for e in (0.2, 0.28)
    ]
    assert clipped == [1.0, 0.0]


def test_the_ratio_of_a_sequence_is_the_geometric_mean_and_the_same_for_all_its_tokens():
    gaps = torch.tensor([0.3, -0.1, 0.7, -2.0], dtype=torch.float64)
    index = torch.tensor([0, 0, 0, 1])
    found = sequence_logratios(gaps, index, 2).exp()
    expected = (math.exp(0.3) * math.exp(-0.1) * math.exp(0.7)) ** (1 / 3)
    assert found.tolist() == pytest.approx([expected] * 3 + [math.exp(-2.0)])


def test_divergence_is_schulmans_k3_and_its_mean_is_the_divergence():
    policy = torch.tensor([0.1, 0.2, 0.7], dtype=torch.float64).log()
    reference = torch.tensor([0.3, 0.3, 0.4], dtype=torch.float64).log()
    found = token_divergences(policy, reference)
    assert (found > 0).all()
    kl = (policy.exp() * (policy - reference)).sum()
    assert float((policy.exp() * found).sum()) == pytest.approx(float(kl))
    assert token_divergences(policy, policy).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("gap", [1e4, -1e4, 25.0])
def test_divergence_stays_finite_and_grows(gap):
    policy = torch.tensor([0.0], requires_grad=True)
    found = token_divergences(policy, torch.tensor([gap]))
    found.sum().backward()
    assert found.isfinite().all()
    assert policy.grad.isfinite().all()
    assert torch.sign(policy.grad) == -math.copysign(1, gap)


def test_only_what_is_compared_with_is_needed():
    assert made().needed() == ("policy_logps", "reference_logps", "scores", "sampler_logps")
    assert made(beta=0.0).needed() == ("policy_logps", "scores", "sampler_logps")
    assert made(ratio_to="reference").needed() == ("policy_logps", "reference_logps", "scores")
    bare = loss_batch(POLICY, sampler=SAMPLER, examples=GROUPS, scores=SCORES)
    output = made(beta=0.0)(bare)
    assert output.rewards is None
    torch.testing.assert_close(output.losses, made(beta=0.0)(batch()).losses)


def test_the_gap_to_the_sampler_is_the_mean_distance_per_token():
    rows = [zip(*row, strict=True) for row in zip(POLICY, SAMPLER, strict=True)]
    gaps = [abs(p - s) for row in rows for p, s in row]
    for level in ("token", "sequence"):
        total_gap, tokens = made(ratio_level=level)(batch()).metrics["policy/sampler_gap"]
        assert float(total_gap / tokens) == pytest.approx(fmean(gaps))
    assert "policy/sampler_gap" not in made(ratio_to="reference")(batch()).metrics


def test_rewards_are_beta_times_the_log_ratio_to_the_reference():
    given = batch()
    torch.testing.assert_close(made(beta=0.3)(given).rewards, 0.3 * given.logratios)


def test_humanline_clamps_the_ratios_of_grpo_before_they_are_clipped():
    from halo_core.guarded.loss_calls import with_changed_logratios

    grpo = made(ratio_to="reference", epsilon_low=0.5, epsilon_high=1.0)
    wrapped = Humanline(loss=grpo, log_epsilon_p=-0.2, log_epsilon_r=0.1)
    rows = zip(POLICY, REFERENCE, strict=True)
    clamped = [[r + min(max(p - r, -0.2), 0.1) for p, r in zip(*row, strict=True)] for row in rows]
    found = wrapped(with_changed_logratios(wrapped, batch())).losses
    torch.testing.assert_close(found, grpo(batch(policy=clamped)).losses)
    with pytest.raises(ValidationError, match="does not compare the policy with a reference"):
        Humanline(loss=made(beta=0.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"aggregate": "constant"}, "divides by max_completion_length, which is not given"),
        ({"max_completion_length": 9}, "no effect with aggregate: sequence"),
        ({"epsilon_low": 1.5}, "less than or equal to 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        GRPO(**options)


def test_wrong_shapes_and_missing_values_are_refused():
    with pytest.raises(ValueError, match=r"scores \(2,\) and groups \(3,\) must both"):
        advantages_within_groups(torch.zeros(2), torch.zeros(3).long(), 1, kind="grpo")
    with pytest.raises(ValueError, match=r"policy_token_logps \(2,\) and ref_token_logps \(1,\)"):
        token_divergences(torch.zeros(2), torch.zeros(1))
    with pytest.raises(ValueError, match="the batch lacks some"):
        made()(loss_batch(POLICY, reference=REFERENCE, examples=GROUPS, scores=SCORES))


def _advantages(change):
    def mutant(scores, groups, count, *, kind):
        return change(advantages_within_groups(scores, groups, count, kind=kind), scores, groups)

    return mutant


MUTANTS = {
    "low scores are good": ("advantages_within_groups", _advantages(lambda a, s, g: -a)),
    "the mean of the batch": (
        "advantages_within_groups",
        _advantages(lambda a, s, g: (s - s.mean()) / (s.std() + 1e-4)),
    ),
    "a standard deviation that divides by n": (
        "advantages_within_groups",
        _advantages(lambda a, s, g: a * (4 / 3) ** 0.5),
    ),
    "no clip": ("ppo_token_loss", lambda x, a, *, clip_low, clip_high: -x.exp() * a),
    "the larger of the two": (
        "ppo_token_loss",
        lambda x, a, *, clip_low, clip_high: (
            -torch.maximum(x.exp() * a, x.exp().clamp(clip_low, clip_high) * a)
        ),
    ),
    "log-ratios as ratios": (
        "ppo_token_loss",
        lambda x, a, *, clip_low, clip_high: (
            -torch.minimum(x * a, x.clamp(clip_low, clip_high) * a)
        ),
    ),
    "bounds swapped": (
        "ppo_token_loss",
        lambda x, a, *, clip_low, clip_high: (
            -torch.minimum(x.exp() * a, x.exp().clamp(2 - clip_high, 2 - clip_low) * a)
        ),
    ),
    "k1": ("token_divergences", lambda p, r: p - r),
    "k2": ("token_divergences", lambda p, r: (p - r) ** 2 / 2),
    "k3 the other way": ("token_divergences", lambda p, r: token_divergences(r, p)),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_found(name, monkeypatch):
    function, mutant = MUTANTS[name]
    monkeypatch.setattr(f"halo_methods.grpo.{function}", mutant)
    with pytest.raises(AssertionError):
        test_loss_is_the_formula_for_every_variant(VARIANTS[0])


@pytest.mark.parametrize("change", [lambda s, i, n: s, lambda s, i, n: s.mean().expand(len(s))])
def test_mutants_of_the_ratio_of_a_sequence_are_found(change, monkeypatch):
    monkeypatch.setattr("halo_methods.grpo.sequence_logratios", change)
    variant = next(v for v in VARIANTS if v["ratio_level"] == "sequence")
    with pytest.raises(AssertionError):
        test_loss_is_the_formula_for_every_variant(variant)
