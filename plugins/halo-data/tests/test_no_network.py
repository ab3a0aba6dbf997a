"""Without a network, data of the hub is read from the cache, or the error comes at once."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from halo_core.errors import UserError
from halo_data.files import no_network
from halo_data.files.hub import hub_records

PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy")


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether `datasets` was offline, at each attempt to load."""
    import datasets
    from huggingface_hub import constants

    tried: list[bool] = []

    def load_dataset_builder(*_: Any, **__: Any) -> None:
        tried.append(constants.HF_HUB_OFFLINE and datasets.config.HF_HUB_OFFLINE)
        raise ConnectionError("Couldn't reach 'a/b' on the Hub")

    def unknown(host: str) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets, "load_dataset_builder", load_dataset_builder)
    monkeypatch.setattr(no_network, "look_up", unknown)
    return tried


def test_without_a_network_nothing_is_tried_over_it(tries: list[bool]) -> None:
    from huggingface_hub import constants

    with pytest.raises(UserError, match=r"cannot look up huggingface\.co, and the data set is not"):
        list(hub_records("a/b", split="train"))
    assert tries == [True]
    assert not constants.HF_HUB_OFFLINE


def test_a_hub_that_has_a_name_is_tried_as_often_as_datasets_does(
    tries: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(no_network, "look_up", lambda host: None)
    with pytest.raises(UserError, match="ConnectionError: Couldn't reach 'a/b'"):
        list(hub_records("a/b", split="train"))
    assert tries == [False]


def test_a_proxy_looks_names_up_itself(tries: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="Couldn't reach"):
        list(hub_records("a/b", split="train"))
    assert tries == [False]
