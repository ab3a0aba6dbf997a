import pytest
import torch

from halo_core.testing import loss_batch
from halo_methods.sft import CSFT, SFT, sft_sequence_loss, sft_token_loss

EXACT = {"rtol": 1e-12, "atol": 1e-12}
TOKENS = [[-1.0, -2.0, -3.0], [-0.5], [-4.0, -1.0]]
LOGPS = torch.tensor([sum(tokens) for tokens in TOKENS], dtype=torch.float64)
LENGTHS = torch.tensor([len(tokens) for tokens in TOKENS], dtype=torch.float64)
BATCH = loss_batch([[-1.0, -2.0], [-4.0, -0.5, -0.5], [-3.0]], desirable=[True, False, True])


def minimised(losses, weights):
    return (losses * weights).sum() / weights.sum()


def test_per_token_the_trainer_minimises_the_mean_over_all_tokens():
    every_token = [logp for tokens in TOKENS for logp in tokens]
    expected = -sum(every_token) / len(every_token)

    assert minimised(*sft_token_loss(LOGPS, LENGTHS)).item() == pytest.approx(expected)


def test_per_sequence_the_trainer_minimises_the_mean_of_sums():
    expected = sum(-sum(tokens) for tokens in TOKENS) / len(TOKENS)

    assert sft_sequence_loss(LOGPS).mean().item() == pytest.approx(expected)


def test_per_token_losses_are_means_weighted_by_length():
    losses, weights = sft_token_loss(LOGPS, LENGTHS)

    torch.testing.assert_close(losses, -LOGPS / LENGTHS, **EXACT)
    assert weights.tolist() == [3.0, 1.0, 2.0]


def test_per_sequence_losses_are_sums():
    assert sft_sequence_loss(LOGPS).tolist() == [6.0, 0.5, 5.0]


def test_a_uniform_policy_loses_the_log_of_the_vocabulary_per_token():
    uniform = -torch.log(torch.tensor(50.0, dtype=torch.float64))

    losses, _ = sft_token_loss(uniform * LENGTHS, LENGTHS)

    torch.testing.assert_close(losses, -uniform.expand(3), **EXACT)


def test_gradients_are_the_derivatives():
    logps = LOGPS.clone().requires_grad_()

    assert torch.autograd.gradcheck(lambda x: sft_token_loss(x, LENGTHS)[0], (logps,))
    assert torch.autograd.gradcheck(sft_sequence_loss, (logps,))


def test_losses_and_gradients_are_finite_at_extremes():
    logps = torch.tensor([-1e4, 0.0], requires_grad=True)
    for losses, weights in (
        sft_token_loss(logps, torch.tensor([1.0, 2000.0])),
        (sft_sequence_loss(logps), torch.ones(2)),
    ):
        (gradient,) = torch.autograd.grad(minimised(losses, weights), logps)

        assert losses.isfinite().all()
        assert gradient.isfinite().all()


def test_weights_carry_no_gradient():
    logps, lengths = LOGPS.clone().requires_grad_(), LENGTHS.clone().requires_grad_()

    assert not sft_token_loss(logps, lengths)[1].requires_grad


def test_order_of_completions_makes_no_difference():
    order = [2, 0, 1]

    torch.testing.assert_close(
        sft_token_loss(LOGPS[order], LENGTHS[order])[0],
        sft_token_loss(LOGPS, LENGTHS)[0][order],
        **EXACT,
    )


def test_wrong_shapes_are_refused():
    expected = r"logps \(3,\) and lengths \(2,\) must both have the shape \[B\]"
    with pytest.raises(ValueError, match=expected):
        sft_token_loss(LOGPS, LENGTHS[:2])
    with pytest.raises(ValueError, match=r"logps \(1, 3\) and lengths \(1, 3\) must both"):
        sft_token_loss(LOGPS[None], LENGTHS[None])
    with pytest.raises(ValueError, match=r"policy_logps \(\) must have the shape \[B\]"):
        sft_sequence_loss(LOGPS.sum())


def test_sft_counts_tokens_or_sequences():
    per_token, per_sequence = SFT()(BATCH), SFT(per="sequence")(BATCH)

    assert per_token.losses.tolist() == [1.5, 5 / 3, 3.0]
    assert per_token.weights.tolist() == [2.0, 3.0, 1.0]
    assert per_sequence.losses.tolist() == [3.0, 5.0, 3.0]
    assert per_sequence.weights is None


def test_sft_has_no_rewards():
    assert SFT()(BATCH).rewards is None


@pytest.mark.parametrize("per", ["token", "sequence"])
def test_csft_is_sft_on_completions_of_both_classes(per):
    output, expected = CSFT(per=per)(BATCH), SFT(per=per)(BATCH)

    assert torch.equal(output.losses, expected.losses)
    assert torch.equal(output.counts, expected.counts)
    assert output.rewards is None


def test_csft_tells_the_classes_apart_by_its_tokens():
    assert CSFT().control_tokens() == ("<|good|>", "<|bad|>")
    assert CSFT(good_token="<+>", bad_token="<->").control_tokens() == ("<+>", "<->")
