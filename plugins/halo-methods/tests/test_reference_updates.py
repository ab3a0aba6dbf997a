import pytest
from pydantic import ValidationError

from halo_core.testing import check_reference_update
from halo_methods.components import EMA, Copy

STEPS = 12


def reference_after(update, *, start=0.0, steps=STEPS):
    """The reference of each step, if the policy before step s is the number s."""
    reference, seen = start, []
    for step in range(1, steps + 1):
        share = update.mix(step)
        reference = (1 - share) * reference + share * step
        seen.append(reference)
    return seen


@pytest.mark.parametrize("update", [Copy(every=1), Copy(every=250), EMA(decay=0.9)], ids=repr)
def test_the_built_in_updates_keep_the_rules(update):
    check_reference_update(update)


@pytest.mark.parametrize("every", [1, 2, 5])
def test_a_copied_reference_is_the_policy_of_the_last_multiple_of_k_steps(every):
    expected = [float(step - (step - 1) % every) for step in range(1, STEPS + 1)]

    assert reference_after(Copy(every=every), start=1.0) == expected


@pytest.mark.parametrize("update", [Copy(every=1), Copy(every=3), EMA(decay=0.1)], ids=repr)
def test_the_first_step_sees_the_reference_that_the_spec_names(update):
    assert reference_after(update, start=-7.0)[0] == -7.0


def test_copying_every_step_leaves_nothing_of_the_reference_from_step_two_on():
    assert reference_after(Copy(every=1), start=-7.0) == [-7.0, *map(float, range(2, STEPS + 1))]


def test_an_average_weighs_the_policy_of_n_steps_ago_by_the_decay_to_the_n():
    decay = 0.7
    seen = reference_after(EMA(decay=decay), start=-7.0)

    for step in range(1, STEPS + 1):
        policies = sum((1 - decay) * decay**n * (step - n) for n in range(step - 1))
        assert seen[step - 1] == pytest.approx(decay ** (step - 1) * -7.0 + policies)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Copy, {}),
        (Copy, {"every": 0}),
        (Copy, {"every": 1.5}),
        (EMA, {}),
        (EMA, {"decay": 0.0}),
        (EMA, {"decay": 1.0}),
        (EMA, {"decay": float("nan")}),
    ],
)
def test_an_option_out_of_range_is_refused(kind, options):
    with pytest.raises(ValidationError):
        kind(**options)
