from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def real_data() -> Path:
    """The folder of real feedback, which is not part of the repository."""
    folder = Path(os.environ.get("HALO_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set HALO_TEST_DATA")
    return folder


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[..., str]:
    """Returns a function that writes rows as JSON lines and returns the file's path."""

    def write(rows: Iterable[Mapping[str, Any]], name: str = "train.jsonl") -> str:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def hub_sizes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, tuple[int, int]]:
    """Sizes that the hub gives, by data set: bytes to download, and bytes as rows."""
    import datasets

    sizes: dict[str, tuple[int, int]] = {}

    def load_dataset_builder(path: str, name: str | None = None, **_: Any) -> Any:
        files, rows = sizes.get(path, (None, None))
        info = SimpleNamespace(download_size=files, dataset_size=rows)
        return SimpleNamespace(info=info, cache_dir=str(tmp_path / "cache" / path))

    monkeypatch.setattr(datasets, "load_dataset_builder", load_dataset_builder)
    return sizes


@pytest.fixture(autouse=True)
def _hub_forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forgets the answers of the hub between tests, and lets its name be known everywhere."""
    from halo_data.files import no_network
    from halo_data.files.hub import commits_known

    monkeypatch.setattr(no_network, "look_up", lambda host: None)
    commits_known.cache_clear()
    yield
    commits_known.cache_clear()
