"""A reference whose log-probabilities come from a store, and that computes what the store lacks.

Each sequence is computed by itself. So its values depend on the sequence, the model and the device
alone: not on the batch that it is in, and not on what the store held before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from halo_core.errors import DataError
from halo_core.workspace.records import REFERENCE_STORE, ReferenceStoreRecord
from halo_trainer.batch.packing import PackedRow, Scored, pack
from halo_trainer.model.scorer import Scorer
from halo_trainer.reference_store.segment import Logps
from halo_trainer.reference_store.sequence_key import sequence_key
from halo_trainer.reference_store.store import ReferenceStore
from halo_trainer.reference_store.store_key import Parts, digest_of, parts_of_scorer


class StoredReference:
    """A frozen reference with a store. It is loaded when the store first lacks a sequence.

    Args:
        stores: The folder of all stores.
        model: Name of the reference, for people.
        parts: The part of its key that is known before it is loaded; see `parts_before_loading`.
        load: Loads it. It is called at most once.
        device: Device of the results.
        warn: Receives warnings.

    Attributes:
        store: The store.
    """

    def __init__(
        self,
        stores: Path,
        model: str,
        parts: Parts,
        load: Callable[[], Scorer],
        *,
        device: torch.device,
        warn: Callable[[str], None],
    ) -> None:
        self.store = ReferenceStore(stores / digest_of(parts), warn)
        self._model = model
        self._parts = parts
        self._load = load
        self._device = device
        self._warn = warn
        self._scorer: Scorer | None = None
        known = self._recorded()
        if known is not None:
            self.store.use_key(digest_of(parts, known))

    @property
    def shares(self) -> bool:
        """True: its values do not depend on how a row is packed."""
        return True

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._scorer is not None

    def has_all(self, sequences: Iterable[Scored]) -> bool:
        """Returns whether the store has these sequences, without reading their values."""
        return all(self.store.has(sequence_key(sequence)) for sequence in sequences)

    def load(self) -> Scorer:
        """Loads the model if it is not in memory, and returns it.

        Raises:
            ModelError: When it cannot be used.
        """
        if self._scorer is None:
            # A load within a step must not change the random numbers of the rest of the step.
            devices = [self._device] if self._device.type == "cuda" else []
            with torch.random.fork_rng(devices):
                self._scorer = self._load()
            found = parts_of_scorer(self._scorer)
            self._record(found)
            self.store.use_key(digest_of(self._parts, found))
        return self._scorer

    def token_logps(self, row: PackedRow) -> Tensor:
        """Returns the log-probability of each completion token of a row, nats, float32 [N].

        Args:
            row: A row. Only its sequences matter, and not how they are packed.
        """
        values = [self._of_sequence(sequence) for sequence in row.sequences]
        return torch.from_numpy(np.concatenate(values)).to(self._device)

    def close(self) -> None:
        """Writes values that are not yet on disk, and ends the use of the store."""
        self.store.close()

    def _of_sequence(self, sequence: Scored) -> Logps:
        if self.store.key is None:
            self.load()
        key = sequence_key(sequence)
        found = self.store.read(key, len(sequence.completion_ids))
        if found is None:
            found = self._compute(sequence)
            self.store.add(key, found)
        return found

    def _compute(self, sequence: Scored) -> Logps:
        scorer = self.load()
        with torch.no_grad():
            logps: Tensor = scorer(pack([sequence]).to(self._device)).token_logps
        values: Logps = logps.float().cpu().numpy()
        return values

    def _recorded(self) -> dict[str, Any] | None:
        """Returns how the store's values were computed, as found when they were."""
        try:
            record = REFERENCE_STORE.read(self.store.folder)
        except DataError as error:
            self._warn(f"{error}. The reference is loaded, and the record is written again")
            return None
        if record is None or record["depends_on"] != self._parts:
            return None
        return dict(record["computed"])

    def _record(self, found: dict[str, Any]) -> None:
        known = self._recorded()
        if known == found:
            return
        if known is not None:
            self._warn(
                f"{self.store.folder}: the reference is no longer computed as its stored values "
                f"were ({_differences(known, found)}); they are computed again"
            )
        record = ReferenceStoreRecord(
            model=self._model, depends_on=dict(self._parts), computed=found
        )
        self.store.write_record(record)


def _differences(known: Parts, found: Parts) -> str:
    names = [name for name in {**known, **found} if known.get(name) != found.get(name)]
    return ", ".join(f"{name}: {known.get(name)} before, {found.get(name)} now" for name in names)
