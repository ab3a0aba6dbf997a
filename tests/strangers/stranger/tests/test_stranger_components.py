from halo_stranger.greetings import Greetings
from halo_stranger.hinge import Hinge

from halo_core.testing import check_data_source, check_loss


def test_the_hinge_keeps_the_rules_of_a_loss() -> None:
    check_loss(Hinge(beta=0.2))


def test_the_greetings_keep_the_rules_of_a_data_source() -> None:
    check_data_source(Greetings(count=3))
