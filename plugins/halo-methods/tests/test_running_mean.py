import pytest

from halo_core.reference_point import Observed, Pair
from halo_methods.components import RunningMean
from halo_methods.reference_points import running_mean

STEPS = [[1.0, 3.0], [-4.0], [2.0, 2.0, 5.0]]


def run(decay=None, steps=STEPS):
    """The reference points of some steps, and the state after them."""
    state, points = {}, []
    for logratios in steps:
        pairs = [Pair(i, i) for i in range(len(logratios))]
        observed = Observed(logratios, [1] * len(pairs), pairs, len(pairs))
        estimate = RunningMean(decay=decay).estimate(observed, state)
        points.append(estimate.value)
        state = estimate.state
    return points, state


def test_the_point_is_the_mean_over_all_completions_of_earlier_steps():
    points, state = run()

    assert points == pytest.approx([0.0, 2.0, 0.0])
    assert state == {"mean": pytest.approx(1.5), "count": 6.0}


def test_with_a_decay_it_is_an_exponential_moving_average_that_starts_at_the_first_mean():
    points, state = run(decay=0.9)

    assert points == pytest.approx([0.0, 2.0, 0.9 * 2.0 + 0.1 * -4.0])
    assert state["mean"] == pytest.approx(0.9 * 1.4 + 0.1 * 3.0)


@pytest.mark.parametrize("decay", [None, 0.9])
def test_a_step_does_not_move_its_own_point(decay):
    first, _ = run(decay)
    changed, _ = run(decay, [*STEPS[:2], [100.0]])

    assert changed == first


def test_the_point_may_be_negative():
    assert run(steps=[[-3.0], [1.0]])[0] == [0.0, -3.0]


def test_the_order_within_a_step_makes_no_difference():
    assert run(steps=[[3.0, 1.0], [-4.0], [5.0, 2.0, 2.0]]) == run()


@pytest.mark.parametrize("decay", [None, 0.5])
def test_a_step_without_completions_changes_nothing(decay):
    state = {"mean": 2.0, "count": 3.0}

    assert running_mean(state, [], decay=decay) == state
    assert running_mean({}, [], decay=decay) == {}


def test_it_observes_the_batchs_own_completions_and_lags_behind():
    assert (RunningMean.observes, RunningMean.lagged) == ("own", True)
