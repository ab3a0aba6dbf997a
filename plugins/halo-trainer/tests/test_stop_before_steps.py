"""A stage can be stopped while it loads or tokenises, whatever a template does."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from halo_core.errors import Interrupted
from halo_core.stage import ModelInput, StageContext, StopFlag
from halo_methods.components import SFT
from halo_models import tokenise
from halo_models.tokenise import Tokeniser
from halo_trainer.sample.options import Sample
from halo_trainer.train.options import Train

ENDLESS = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}{{ messages[0].content }}"
)


@pytest.fixture
def soon() -> Iterator[StopFlag]:
    """A flag that a signal sets in two seconds, when a template is rendered."""
    stop = StopFlag()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set(signal.SIGTERM)

    before = signal.signal(signal.SIGALRM, on_signal)
    signal.setitimer(signal.ITIMER_REAL, 2.0)
    yield stop
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["train", "sample"])
def test_a_template_that_never_ends_is_left_within_seconds(
    kind: str,
    soon: StopFlag,
    make_data: Callable[..., Any],
    make_context: Callable[..., StageContext],
    tiny_model: ModelInput,
) -> None:
    rows = [{"prompt": [{"role": "user", "content": "Hi?"}], "completion": "Hi."}]
    option = "data" if kind == "train" else "prompts"
    data = {option: make_data("demonstration", rows)}
    context = make_context(data=data, models={"from": tiny_model}, stop=soon)
    stages = {
        "train": Train(data="d", loss=SFT(), template=ENDLESS, steps=1, device="cpu"),
        "sample": Sample(prompts="d", template=ENDLESS, device="cpu"),
    }
    with pytest.raises(Interrupted, match="run the same command again to continue") as interrupted:
        stages[kind].run(context)
    assert interrupted.value.exit_code == 143
    assert not (context.folder / "checkpoints").exists()


def test_texts_are_tokenised_so_many_at_a_time_and_give_the_same_ids(
    tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["the cow says moo", "x" * 50, "", "moo " * 9, "duck"]
    whole = Tokeniser(tiny_tokenizer, ()).encode(texts)
    sizes: list[int] = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(tiny_tokenizer, name)

        def __call__(self, given: Any, **options: Any) -> Any:
            sizes.append(sum(map(len, given)))
            return tiny_tokenizer(given, **options)

    monkeypatch.setattr(tokenise, "CHARACTERS_PER_CALL", 40)
    tokeniser = Tokeniser(Counting(), ())
    sizes.clear()
    assert tokeniser.encode(texts) == whole
    assert sizes == [16, 50, 40]
