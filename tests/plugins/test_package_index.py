"""The answers of a package index about a distribution, and its refusals in one sentence."""

from __future__ import annotations

import json

import loopback_index as loopback
import pytest
from loopback_index import FILE

from halo_core.errors import InstallError
from halo_core.plugins import package_index, pip_calls


@pytest.mark.slow(seconds=2)
@pytest.mark.parametrize(
    ("status", "words", "advice"),
    [(401, "401 Unauthorized", "Check the user"), (503, "503 Service Unavailable", "Try again")],
)
def test_an_index_that_refuses_is_told_with_its_status_and_without_its_password(
    status: int, words: str, advice: str
) -> None:
    with loopback.serving({}, status=status) as address:
        index = f"{address}/simple".replace("://", "://ann:sesame@")
        with pytest.raises(InstallError) as caught:
            package_index.look_up("halo-exo>=1", index)
    shown = f"{address}/simple/halo-exo/".replace("://", "://***@")
    assert caught.value.message.startswith(
        f"an index did not say whether it has halo-exo>=1: {words} from {shown}. {advice}"
    )
    assert "sesame" not in caught.value.message


@pytest.mark.slow(seconds=2)
def test_a_requirement_that_cannot_be_read_is_one_sentence() -> None:
    wrong = loopback.wheel("halo-exo", "1.0", more="Requires-Dist: exo words >= one\n")
    with loopback.serving({FILE: wrong}) as address, pytest.raises(InstallError) as caught:
        package_index.look_up("halo-exo", f"{address}/simple")
    assert caught.value.message.startswith("halo-exo 1.0 has metadata that are not valid (Expected")
    assert "exo words >= one), so no version fits halo-exo (" in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("requirement", "reason"),
    [
        ("exo words", "Expected"),
        ("exo; sys_platfrom == 'linux'", "Expected"),
        ("exo>=one", "Expected"),
    ],
)
def test_a_requirement_that_is_not_valid_is_refused(
    requirement: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = {"name": "halo-exo", "version": "1.0", "requires_dist": [requirement]}
    report = {"install": [{"metadata": metadata, "download_info": {"url": f"https://a.b/{FILE}"}}]}
    done = pip_calls.PipResult(0, json.dumps(report), "")
    monkeypatch.setattr(package_index, "pip_settings", dict)
    monkeypatch.setattr(package_index, "call_pip", lambda *_, **__: done)
    with pytest.raises(InstallError) as caught:
        package_index.look_up("halo-exo")
    start = f"{FILE} requires {requirement!r}, which is not a valid requirement ({reason}"
    assert caught.value.message.startswith(start)
    assert "\n" not in caught.value.message


def test_a_report_of_an_old_pip_is_an_error_of_halo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_index, "pip_settings", dict)
    monkeypatch.setattr(
        package_index, "call_pip", lambda *_, **__: pip_calls.PipResult(0, "no JSON", "")
    )
    with pytest.raises(InstallError, match="pip 23 or later is needed"):
        package_index.look_up("halo-exo")
