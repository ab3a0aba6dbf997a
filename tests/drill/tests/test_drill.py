from pathlib import Path

from halo_drill.stage import Drill

from halo_core import Known
from halo_core.testing import check_component
from halo_methods.components import KTO, PPO


def test_the_drill_keeps_the_rules_of_a_component() -> None:
    check_component(Drill(corpus="train", objective=KTO()))


def test_it_says_how_often_it_changes_the_weights_and_what_it_cannot_compute() -> None:
    known = Known(weights=7, learned=12, cache=Path("cache"))
    forecast = Drill(corpus="train", objective=KTO()).forecast(known)
    assert (forecast.weights, forecast.size) == (7, {"updates": "12"})
    problems = dict(Drill(corpus="train", objective=PPO(whiten=True)).mistakes())
    assert problems == {"objective": "needs 'statistics', which drill cannot compute"}
