from halo_core.testing import check_reference_update

from halo_acorn.oak_update import OakUpdate


def test_the_update_keeps_the_rules() -> None:
    check_reference_update(OakUpdate())


def test_the_policy_is_mixed_in_after_every_third_step() -> None:
    update = OakUpdate(every=3, share=0.25)
    assert [update.mix(step) for step in range(1, 8)] == [0, 0, 0, 0.25, 0, 0, 0.25]
