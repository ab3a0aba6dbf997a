"""The components that the cells of a suite have in common, and the data of these components.

A suite of 1,000 cells has 4,000 stages, of which a few hundred differ. Each is built once, and each
data source is asked once.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from halo_core.data import DataInfo
from halo_core.spec.document import Document, Keys
from halo_core.spec.resolved import Resolved


@dataclass
class SharedBySuite:
    """Components that cells have resolved without a mistake.

    Attributes:
        components: The components by what they are made from; see `same_component`.
    """

    components: dict[Hashable, Resolved] = field(default_factory=dict)
    _infos: dict[int, tuple[Resolved, DataInfo]] = field(default_factory=dict)

    def info(self, source: Resolved) -> DataInfo | None:
        """Returns what a data source said about itself; None if it was not asked yet."""
        known = self._infos.get(id(source))
        return None if known is None else known[1]

    def add_info(self, source: Resolved, info: DataInfo) -> None:
        """Adds what a data source says about itself."""
        # The component is stored too, so that no other one gets its identity.
        self._infos[id(source)] = (source, info)


def same_component(document: Document, kind: str, value: Any, keys: Keys) -> Hashable:
    """Returns a key that is equal for values that make the same component at the same place.

    Args:
        document: The document. Relative paths in the value depend on its folders.
        kind: The kind of the component.
        value: The value in the document.
        keys: The place of the value.
    """
    folders = tuple(document.folders.items())
    return kind, repr(value), keys, document.folder, folders, document.is_file
