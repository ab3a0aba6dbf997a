from halo_core.testing import check_loss, paired_batch

from halo_acorn.oak_loss import OakLoss


def test_the_loss_keeps_the_rules() -> None:
    check_loss(OakLoss())


def test_the_loss_is_the_squared_margin_when_policy_equals_reference() -> None:
    same = paired_batch([[-1.0, -2.0]], [[-4.0]], ref_chosen=[[-1.0, -2.0]], ref_rejected=[[-4.0]])
    assert OakLoss(margin=0.5)(same).losses.tolist() == [0.25]


def test_the_loss_is_what_the_formula_gives() -> None:
    # The log-ratios are 2 nats for the chosen completion and -1 nat for the rejected one.
    batch = paired_batch([[-1.0]], [[-5.0]], ref_chosen=[[-3.0]], ref_rejected=[[-4.0]])
    (loss,) = OakLoss(beta=0.1, margin=1.0)(batch).losses.tolist()
    assert abs(loss - (1.0 - 0.1 * (2.0 + 1.0)) ** 2) < 1e-9


def test_the_loss_is_zero_beyond_the_margin() -> None:
    batch = paired_batch([[-1.0]], [[-50.0]], ref_chosen=[[-3.0]], ref_rejected=[[-4.0]])
    assert OakLoss(beta=1.0)(batch).losses.tolist() == [0.0]
