import pytest
from halo_flooding.flooding import Flooding

from halo_core.testing import check_loss_wrapper, paired_batch
from halo_core.testing.losses.loss_wrappers import Paired


@pytest.mark.parametrize("level", [0.01, 0.4, 5.0])
def test_flooding_keeps_the_rules_around_any_loss(level: float) -> None:
    check_loss_wrapper(lambda loss: Flooding(loss=loss, level=level))


def test_no_example_loses_less_than_the_level() -> None:
    batch = paired_batch([[-1.0]], [[-9.0]], ref_chosen=[[-1.0]], ref_rejected=[[-1.0]])
    (bare,), (flooded,) = Paired()(batch).losses, Flooding(loss=Paired(), level=0.3)(batch).losses
    assert bare.item() < 0.3
    assert flooded.item() == pytest.approx(0.6 - bare.item())
