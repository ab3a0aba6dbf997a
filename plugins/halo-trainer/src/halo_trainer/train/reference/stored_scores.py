"""The reference of a training whose log-probabilities come from a store, and when it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain

import torch

from halo_core.stage import StageContext
from halo_models.device import pick_dtype
from halo_models.load import read_config, read_tokenizer
from halo_trainer.batch.batch_plan import BatchPlan
from halo_trainer.batch.packing import Scored
from halo_trainer.encode.examples import EncodedExample
from halo_trainer.model.probe import probed_windows
from halo_trainer.model.scorer import Scorer
from halo_trainer.reference_store.model_digest import model_digest
from halo_trainer.reference_store.store import STORES
from halo_trainer.reference_store.store_key import parts_before_loading
from halo_trainer.reference_store.stored_reference import StoredReference
from halo_trainer.train.load_models import LoadedModel, check_vocabulary
from halo_trainer.train.metrics import Metrics
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.recipe import ModelRecipe


class RankWarnings:
    """Warnings that one process may have and the others not. Only rank 0 can show them.

    Args:
        warn: Shows a warning on rank 0.
        ranks: The processes.
    """

    def __init__(self, warn: Callable[[str], None], ranks: Ranks) -> None:
        self._warn = warn
        self._ranks = ranks
        self._untold: list[str] = []
        self._shown: set[str] = set()

    def __call__(self, message: str) -> None:
        """Shows a warning, or keeps it until `tell`."""
        if self._ranks.main:
            self._show(message)
        else:
            self._untold.append(message)

    def tell(self) -> None:
        """Shows the warnings of the other processes. All processes must call it."""
        for messages in self._ranks.gather(self._untold):
            for message in messages:
                self._show(message)
        self._untold = []

    def _show(self, message: str) -> None:
        if self._ranks.main and message not in self._shown:
            self._warn(message)
        self._shown.add(message)


def stored_reference(
    context: StageContext,
    start: LoadedModel,
    recipe: ModelRecipe,
    load: Callable[[], Scorer],
    *,
    max_length: int,
    warn: Callable[[str], None],
) -> StoredReference:
    """Returns a reference with a store. It is not loaded yet.

    Args:
        context: The stage's inputs, among them the reference, and the workspace's cache.
        start: The model that is trained.
        recipe: The recipe, which says how the models are held.
        load: Loads the reference.
        max_length: Largest number of tokens of a sequence.
        warn: Receives warnings about the store, which may differ between the processes.

    Raises:
        ModelError: When the reference cannot be found, or has a different vocabulary.
    """
    source, device = context.models["reference"], start.model.device
    check_vocabulary(start.tokenizer, start.notes, source)
    stores = context.cache / STORES
    parts = parts_before_loading(
        model=model_digest(source, stores),
        vocabulary=(len(read_tokenizer(source)), len(start.tokenizer)),
        windows=probed_windows(read_config(source), max_length),
        compute_dtype=pick_dtype(recipe.precision, device),
        device=device,
    )
    return StoredReference(stores, source.path, parts, load, device=device, warn=warn)


def load_if_lacking(
    reference: StoredReference,
    data: Sequence[EncodedExample],
    evaluation: Mapping[str, Sequence[EncodedExample]],
    plan: BatchPlan,
    steps: int,
    ranks: Ranks,
) -> None:
    """Loads a reference on all processes if the store lacks a completion of the training.

    Mismatched pairs are not known yet. A process that lacks one later loads the model by itself,
    while the others wait for it at the end of the step.

    Args:
        reference: The reference.
        data: The examples to learn from.
        evaluation: Evaluation sets by name.
        plan: The plan of the global batches.
        steps: Number of optimiser steps in total.
        ranks: The processes. Each looks for its share of the completions.
    """
    used = chain(_learned(data, plan, steps), *evaluation.values())
    mine = (example for i, example in enumerate(used) if i % ranks.world == ranks.rank)
    has_all = reference.has_all(
        Scored(completion.prompt_ids, completion.completion_ids)
        for example in mine
        for completion in example.completions
    )
    lacking = ranks.sum(torch.tensor(float(not has_all), device=ranks.device))
    if lacking:
        reference.load()


def _learned(
    data: Sequence[EncodedExample], plan: BatchPlan, steps: int
) -> Iterator[EncodedExample]:
    """Yields each example that is used, in the order of the first epoch."""
    for step in range(1, min(steps, plan.steps_per_epoch) + 1):
        for position in plan.batch(step).indices:
            yield data[position]


class StoreUse:
    """The use of a store by a training, for its metrics, its warnings and its end.

    Args:
        reference: The reference.
        warnings: The warnings about the store.
        main: Whether this is the process that counts steps.
    """

    def __init__(self, reference: StoredReference, warnings: RankWarnings, *, main: bool) -> None:
        self._reference = reference
        self._store = reference.store
        self._warnings = warnings
        self._steps = float(main)
        self._seen = (0, 0)

    def count_step(self, metrics: Metrics) -> None:
        """Adds what the store had and lacked since the step before, over all processes."""
        hits, misses = self._store.hits, self._store.misses
        metrics.add("reference/store_hits", hits - self._seen[0], self._steps)
        metrics.add("reference/store_misses", misses - self._seen[1], self._steps)
        self._seen = (hits, misses)

    def report(self) -> dict[str, float]:
        """Shows warnings, and returns the size of the store on disk as a metric, MB.

        All processes must call it.
        """
        self._warnings.tell()
        return {"reference/store_mb": self._store.size / 1e6}

    def finish(self) -> None:
        """Writes values that are not yet on disk, and shows warnings.

        All processes must call it.
        """
        self._store.flush()
        self._warnings.tell()

    def close(self) -> None:
        """Writes values that are not yet on disk, and ends the use of the store."""
        self._reference.close()
