"""The name of a sequence in a store: a digest of its token ids, after truncation."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from halo_trainer.batch.packing import Scored

KEY_BYTES = 32


def sequence_key(sequence: Scored) -> bytes:
    """Returns the digest of a sequence's token ids and of where its completion begins [32 bytes].

    Args:
        sequence: The sequence.
    """
    digest = hashlib.sha256(len(sequence.prompt_ids).to_bytes(8, "little"))
    for ids in sequence:
        digest.update(np.ascontiguousarray(ids, dtype="<i4").tobytes())
    return digest.digest()
