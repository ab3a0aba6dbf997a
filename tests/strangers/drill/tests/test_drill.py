from pathlib import Path

from halo_drill.stage import Drill

from halo_core import Known, ModelInput
from halo_core.testing import check_stage, data_set, stage_context
from halo_methods.components import KTO, PPO
from halo_models.testing import make_model, make_tokenizer

TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}<|assistant|>"
ROWS = [
    {
        "prompt": [{"role": "user", "content": f"Say {n}."}],
        "completion": f"{n}!",
        "desirable": n > 0,
    }
    for n in range(3)
]


def test_the_drill_keeps_the_rules_of_a_stage(tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = TEMPLATE
    for part in (tokenizer, make_model(len(tokenizer))):
        part.save_pretrained(tmp_path / "model")
    model = ModelInput(str(tmp_path / "model"), None, "tiny")
    corpus = data_set(tmp_path, "binary", ROWS)
    check_stage(
        Drill(corpus="train", objective=KTO()),
        stage_context(
            tmp_path / "drill", models={"pupil": model, "elder": model}, data={"corpus": corpus}
        ),
    )


def test_it_forecasts_its_updates_and_reports_needs_that_it_cannot_compute() -> None:
    known = Known(weights=7, learned=12, cache=Path("cache"))
    forecast = Drill(corpus="train", objective=KTO()).forecast(known)
    assert (forecast.weights, forecast.size) == (7, {"updates": "12"})
    problems = dict(Drill(corpus="train", objective=PPO(whiten=True)).mistakes())
    assert problems == {"objective": "needs 'statistics', which drill cannot compute"}
