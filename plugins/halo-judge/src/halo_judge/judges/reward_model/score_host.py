"""A process of the judge: ``python -m halo_judge.judges.reward_model.score_host``.

The process of the stage starts it (`score_processes.py`). Its standard input is a pipe with one
JSON object per line: first the recipe and the device, then numbered orders to read answers or to
score a batch. Its standard output is a pipe for one JSON object per answer. What libraries print
goes to the standard error. The end of the input ends the process at once, in any computation.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Mapping
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from halo_core.tracking.host import Answers, Orders

if TYPE_CHECKING:
    from halo_judge.judges.reward_model.classifier import RewardClassifier

ABANDONED = 1
"""Exit code of a process whose stage is gone. Nobody is left to see it."""


def main() -> int:
    """Answers orders until the input ends, and returns the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # They are for the run, which ends this process.
    answers = Answers(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    faulthandler.enable()
    orders: SimpleQueue[dict[str, Any]] = SimpleQueue()
    source = Orders(0)
    threading.Thread(target=_take, args=(source, orders), name="orders", daemon=True).start()
    try:
        _serve(orders, answers)
    # All of them, SystemExit too: otherwise the run would know only that the process ended.
    except BaseException as error:
        answers.give({"error": _told(error)})
    return 1


def _take(source: Orders, orders: SimpleQueue[dict[str, Any]]) -> None:
    while (order := source.next()) is not None:
        orders.put(order)
    os._exit(ABANDONED)  # The main thread may be in a batch.


def _serve(orders: SimpleQueue[dict[str, Any]], answers: Answers) -> None:
    first = orders.get()
    import torch

    from halo_judge.judges.reward_model.classifier import RewardClassifier
    from halo_judge.judges.reward_model.recipe import Recipe

    device = torch.device(first["device"])
    torch.set_num_threads(first["threads"])
    if device.type == "cuda":
        torch.cuda.set_device(device)
    classifier = RewardClassifier(Recipe.of(first["recipe"]), device, warn=answers.warn)
    answers.give({"batch_size": classifier.batch_size})
    while True:
        order = orders.get()
        answers.give({"number": order["number"], "answer": _answer(classifier, order)})


def _answer(classifier: RewardClassifier, order: Mapping[str, Any]) -> list[Any]:
    from halo_core.scoring_judge import Answer
    from halo_judge.judges.reward_model.classifier_text import ClassifierInput

    if "read" in order:
        found = [classifier.read_one(Answer(**given)) for given in order["read"]]
        return [
            text if isinstance(text, str) else [text.ids, text.types, text.cut] for text in found
        ]
    # JSON has each number with the digits that give the same bits again, and NaN.
    return list(classifier.values_of([ClassifierInput(*text) for text in order["score"]]))


def _told(error: BaseException) -> dict[str, Any]:
    from halo_core.known_secrets import hide_known_in
    from halo_core.run.ended_ranks import place_of
    from halo_core.run.error_record import error_record

    record = error_record(error)
    told: dict[str, Any] = hide_known_in({**record, "place": place_of(error)})
    return told


if __name__ == "__main__":
    sys.exit(main())
