"""A weighted sum of losses: each with its own weighted mean over the global batch."""

import math
import re
from typing import ClassVar

import pytest
import torch
from pydantic import ValidationError

from halo_core import ClassCounts, Loss, LossBatch, LossOutput
from halo_core.errors import PluginError
from halo_core.testing import check_loss, loss_batch, paired_batch
from halo_core.testing.losses.loss_wrappers import Pointed, Summing
from halo_methods.components import (
    CSFT,
    DPO,
    IPO,
    KTO,
    PPO,
    SFT,
    BradleyTerry,
    Humanline,
    KTOLogSigmoid,
    Prospect,
    SimPO,
    SLiC,
    WeightedSum,
)

ROUNDING = {"rtol": 1e-12, "atol": 1e-12}
POLICY = [[-1.0, -2.0], [-4.0, -0.5, -0.5], [-3.0], [-0.3, -0.4]]
REFERENCE = [[-1.5, -2.5], [-3.0, -0.5, -0.5], [-1.0], [-0.8, -0.1]]
BINARY = loss_batch(
    POLICY, reference=REFERENCE, desirable=[True, False, True, False], reference_point=0.25
)
PAIRED = paired_batch(
    POLICY[::2], POLICY[1::2], ref_chosen=REFERENCE[::2], ref_rejected=REFERENCE[1::2]
)


class Weighing(Loss):
    """Weighs its examples, and does not declare it."""

    feedback: ClassVar = "binary"
    needs: ClassVar = ("policy_logps",)

    def __call__(self, batch: LossBatch) -> LossOutput:
        return LossOutput(-batch.policy_logps, batch.lengths)


def trained(loss, *parts):
    """The trainer's objective over a global batch in parts, with statistics first."""
    if "statistics" in loss.needed():
        found = [loss.statistics(part) for part in parts]
        sums = {name: sum(one[name] for one in found) for name in found[0]}
        parts = [LossBatch(**{**fields(part), "statistics": sums}) for part in parts]
    outputs = [loss(part) for part in parts]
    total = sum((output.losses * output.counts).sum() for output in outputs)
    return total / sum(output.counts.sum() for output in outputs)


def fields(batch):
    return {name: vars(batch)[name] for name in LossBatch.__dataclass_fields__}


@pytest.mark.parametrize(
    ("losses", "batch"),
    [
        ([KTO(beta=0.3), KTOLogSigmoid()], BINARY),
        ([DPO(beta=0.4), SimPO(), IPO()], PAIRED),
        ([CSFT(), CSFT(per="sequence")], BINARY),
        ([PPO(), KTO()], BINARY),
        ([SFT(), SFT(per="sequence")], BINARY),
        ([PPO(whiten=True, per="sequence"), PPO()], BINARY),
    ],
)
def test_the_total_is_the_sum_of_what_each_loss_is_trained_on_alone(losses, batch):
    factors = [0.5, 2.0, 0.25][: len(losses)]
    expected = sum(c * trained(loss, batch) for c, loss in zip(factors, losses, strict=True))
    found = trained(WeightedSum(losses=losses, weights=factors), batch)
    torch.testing.assert_close(found, expected, **ROUNDING)


def test_the_mean_per_token_and_the_mean_of_sums_in_plain_python():
    loss = WeightedSum(losses=[SFT(), SFT(per="sequence")], weights=[3.0, 0.5])
    tokens = [logp for completion in POLICY for logp in completion]
    per_token = -sum(tokens) / len(tokens)
    per_sequence = -sum(map(sum, POLICY)) / len(POLICY)
    assert trained(loss, BINARY).item() == pytest.approx(3 * per_token + 0.5 * per_sequence)


def test_a_pair_in_plain_python():
    loss = WeightedSum(losses=[DPO(beta=0.4), SimPO(beta=2.0, gamma=0.5)], weights=[1.0, 0.1])
    expected = 0.0
    for chosen, rejected in ((0, 1), (2, 3)):
        won, lost = (sum(POLICY[i]) - sum(REFERENCE[i]) for i in (chosen, rejected))
        expected += math.log1p(math.exp(-0.4 * (won - lost)))
        won, lost = (sum(POLICY[i]) / len(POLICY[i]) for i in (chosen, rejected))
        expected += 0.1 * math.log1p(math.exp(-(2.0 * (won - lost) - 0.5)))
    assert trained(loss, PAIRED).item() == pytest.approx(expected / 2, rel=1e-12)


@pytest.mark.parametrize("sizes", [(1, 3), (2, 2), (1, 1, 1, 1)])
def test_the_total_does_not_depend_on_how_the_batch_is_cut(sizes):
    loss = WeightedSum(losses=[PPO(), CSFT_WITHOUT_TOKENS, KTO()], weights=[1.0, 0.5, 2.0])
    parts, first = [], 0
    for size in sizes:
        rows = slice(first, first + size)
        first += size
        parts.append(
            loss_batch(
                POLICY[rows],
                reference=REFERENCE[rows],
                desirable=BINARY.desirable[rows].tolist(),
                reference_point=0.25,
            )
        )
    torch.testing.assert_close(trained(loss, *parts), trained(loss, BINARY), **ROUNDING)


class Likelihood(Loss):
    """The likelihood per token, of undesirable completions too."""

    feedback: ClassVar = "binary"
    needs: ClassVar = ("policy_logps",)

    def unchecked_rules(self) -> dict[str, str]:
        return {"direction": "it learns all completions"}

    def weighs_examples(self) -> bool:
        return True

    def __call__(self, batch: LossBatch) -> LossOutput:
        return LossOutput(-batch.policy_logps / batch.lengths, batch.lengths)


CSFT_WITHOUT_TOKENS = Likelihood()


def test_only_losses_that_weigh_their_examples_cost_a_pass_before():
    assert WeightedSum(losses=[KTO(), KTO()], weights=[1.0, 1.0]).needed() == (
        "policy_logps",
        "reference_logps",
        "reference_point",
    )
    assert "statistics" in WeightedSum(losses=[PPO(), KTO()], weights=[1.0, 1.0]).needed()


@pytest.mark.parametrize(
    "loss",
    [
        WeightedSum(losses=[PPO(kl_coefficient=0.0), KTO()], weights=[0.7, 1.3]),
        WeightedSum(
            losses=[DPO(), SLiC(regulariser="samples"), BradleyTerry(), SimPO()],
            weights=[1.0, 0.5, 2.0, 1.0],
        ),
        WeightedSum(
            losses=[
                KTO(desirable_weight="auto"),
                WeightedSum(losses=[Likelihood(), Prospect()], weights=[2.0, 1.0]),
            ],
            weights=[1.0, 0.5],
        ),
        WeightedSum(losses=[Summing(), Summing()], weights=[1.0, 0.5]),
        Humanline(loss=WeightedSum(losses=[DPO(), IPO()], weights=[1.0, 0.5])),
    ],
    ids=repr,
)
def test_a_sum_keeps_the_rules_of_losses(loss, monkeypatch):
    # this module imports torch at its top, which a component's module must not
    monkeypatch.setattr("halo_core.testing.component.check_import_budget", lambda cls: None)
    check_loss(loss)


def test_heads_statistics_and_metrics_have_names_of_their_own():
    loss = WeightedSum(losses=[PPO(advantage="gae", per="sequence")] * 2, weights=[1.0, 1.0])
    assert [head.name for head in loss.heads()] == ["0-value", "1-value"]
    whitened = WeightedSum(
        losses=[PPO(whiten=True, per="sequence"), Likelihood()], weights=[1.0, 1.0]
    )
    names = {"0-total", "0-squares", "0-count", "1-weights", "examples"}
    assert set(whitened.statistics(BINARY)) == names
    both = WeightedSum(losses=[PPO(per="sequence"), KTO()], weights=[1.0, 1.0])(BINARY)
    assert set(both.metrics) == {"loss-0/loss", "loss-0/policy/clipped", "loss-1/loss"}
    total, count = both.metrics["loss-1/loss"]
    torch.testing.assert_close(total / count, trained(KTO(), BINARY), **ROUNDING)


def test_a_loss_that_needs_no_samples_sees_none():
    loss = WeightedSum(losses=[DPO(), SLiC(regulariser="samples")], weights=[1.0, 1.0])
    policy, reference = [*POLICY[:2], [-1.5]], [*REFERENCE[:2], [-1.0]]
    with_sample = loss_batch(
        policy,
        reference=reference,
        desirable=[True, False, False],
        examples=[0, 0, 0],
        sampled=[False, False, True],
    )
    pair = paired_batch(
        [POLICY[0]], [POLICY[1]], ref_chosen=[REFERENCE[0]], ref_rejected=[REFERENCE[1]]
    )
    output = loss(with_sample)
    slic = SLiC(regulariser="samples")(with_sample)
    torch.testing.assert_close(output.losses, DPO()(pair).losses + slic.losses, **ROUNDING)
    assert output.rewards.tolist() == pytest.approx([*DPO()(pair).rewards.tolist(), 0.0])


def test_weights_that_are_all_zero_count_for_nothing():
    class Weightless(Likelihood):
        def __call__(self, batch: LossBatch) -> LossOutput:
            return LossOutput(-batch.policy_logps, torch.zeros_like(batch.lengths))

    loss = WeightedSum(losses=[Weightless(), KTO()], weights=[1.0, 1.0])
    torch.testing.assert_close(trained(loss, BINARY), trained(KTO(), BINARY), **ROUNDING)


def test_rewards_are_those_of_the_first_loss_that_has_some():
    loss = WeightedSum(losses=[Likelihood(), KTO(beta=0.3), KTO(beta=0.7)], weights=[1.0] * 3)
    sums = loss.statistics(BINARY)
    batch = LossBatch(**{**fields(BINARY), "statistics": sums})
    assert torch.equal(loss(batch).rewards, KTO(beta=0.3)(BINARY).rewards)


def test_open_weights_are_settled_and_told_by_name():
    loss = WeightedSum(
        losses=[KTO(desirable_weight="auto"), KTO(), Prospect(undesirable_weight="auto")],
        weights=[1.0, 1.0, 1.0],
    )
    made = loss.settle(ClassCounts(10, 90))
    assert [one.desirable_weight for one in made.loss.losses] == [9.0, 1.0, 1.0]
    assert made.remark.startswith("KTO: 10 desirable and 90 undesirable completions; desirable_w")
    assert "; Prospect: 10 desirable" in made.remark
    assert made.caution.startswith("KTO: 10 desirable and 90 undesirable completions: lambda_D")
    assert made.caution.count("lambda_D n_D") == 1
    content = WeightedSum(losses=[KTO(), KTO()], weights=[1.0, 1.0]).settle(ClassCounts(50, 50))
    assert content[1:] == ("", None)


def test_a_sum_has_what_its_losses_have_in_common():
    loss = WeightedSum(losses=[CSFT(), CSFT(per="sequence")], weights=[1.0, 1.0])
    assert loss.control_tokens() == ("<|good|>", "<|bad|>")
    assert (loss.resolved_feedback(), loss.resolved_reference_point()) == ("binary", None)
    pointed = WeightedSum(losses=[Likelihood(), KTO()], weights=[1.0, 1.0])
    assert pointed.resolved_reference_point() == "mismatched-kl"
    assert pointed.control_tokens() is None
    assert pointed.value(0.0) is None


@pytest.mark.parametrize(
    ("losses", "weights", "place", "message"),
    [
        (
            [KTO(), DPO()],
            [1.0, 1.0],
            "losses",
            "KTO has 'binary' and DPO 'paired'; expected one kind of feedback",
        ),
        (
            [Pointed(factor=1.0), KTO()],
            [1.0, 1.0],
            "losses",
            "Pointed has 'zero' and KTO 'mismatched-kl'; expected one reference point",
        ),
        (
            [KTO(), CSFT()],
            [1.0, 1.0],
            "losses",
            "KTO has none and CSFT ('<|good|>', '<|bad|>'); expected one pair of control tokens",
        ),
        (
            [CSFT(), CSFT(bad_token="<|no|>")],
            [1.0, 1.0],
            "losses",
            "CSFT has ('<|good|>', '<|bad|>') and CSFT ('<|good|>', '<|no|>'); expected one",
        ),
        (
            [KTO(), Humanline(loss=KTO())],
            [1.0, 1.0],
            "losses",
            "losses.1 (Humanline) changes log-ratios, which the other losses would not see; put it "
            "around the sum: {use: Humanline, loss: {use: weighted-sum, ...}}",
        ),
        (
            [KTO(), PPO(whiten=True)],
            [1.0, 1.0],
            "losses",
            "losses.1 (PPO) weighs its examples and needs statistics, so the sum of its weights "
            "would have to be known before it can be computed",
        ),
        ([KTO(), KTO()], [1.0], "weights", "1 weights for 2 losses; expected as many"),
        ([KTO(), KTO()], [1.0, 2.0, 3.0], "weights", "3 weights for 2 losses; expected as many"),
        ([KTO(), KTO()], [1.0, 0.0], "weights", "Input should be greater than 0"),
        ([KTO()], [1.0], "losses", "List should have at least 2 items"),
    ],
)
def test_losses_that_do_not_go_together_are_refused_at_their_option(
    losses, weights, place, message
):
    with pytest.raises(ValidationError, match=re.escape(message)) as caught:
        WeightedSum(losses=losses, weights=weights)
    assert caught.value.errors()[0]["loc"][0] == place


def test_weights_that_come_unannounced_are_the_fault_of_who_gives_them():
    loss = WeightedSum(losses=[KTO(), Weighing()], weights=[1.0, 1.0])
    expected = (
        "Weighing.__call__() gave weights, whose sum has to be known before in a sum of losses; "
        "return True from weighs_examples()"
    )
    with pytest.raises(PluginError, match=re.escape(expected)):
        loss(BINARY)
