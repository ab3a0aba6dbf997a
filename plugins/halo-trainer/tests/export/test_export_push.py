"""`halo export --push`: what the hub would get, and what stays when it cannot be reached."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import ModelCard

Export = Callable[..., int]
MakeRun = Callable[..., Path]
URL = "https://huggingface.co/acme/out/commit/1"


class Hub:
    """Takes the place of the hub's functions and keeps what they were given."""

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.uploads: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.error: Exception | None = None

    def create_repo(self, repo_id: str, **options: Any) -> None:
        self.created.append({"repo_id": repo_id, **options})
        if self.error is not None:
            raise self.error

    def upload_folder(self, **options: Any) -> Any:
        self.uploads.append(options)
        folder = Path(options["folder_path"])
        self.files = {path.name: path.read_bytes() for path in folder.iterdir()}
        return SimpleNamespace(commit_url=URL)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
    monkeypatch.setattr(huggingface_hub, "create_repo", hub.create_repo)
    monkeypatch.setattr(huggingface_hub, "upload_folder", hub.upload_folder)
    monkeypatch.setenv("HF_TOKEN", "hf_sesame")
    return hub


def test_the_folder_is_uploaded_to_a_private_repository(
    make_run: MakeRun, export: Export, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run()
    out = tmp_path / "out"
    assert export("demo", out, "--push", "acme/out") == 0
    assert hub.created == [
        {"repo_id": "acme/out", "token": "hf_sesame", "private": True, "exist_ok": True}
    ]
    (upload,) = hub.uploads
    assert (upload["repo_id"], upload["token"]) == ("acme/out", "hf_sesame")
    assert hub.files == {path.name: path.read_bytes() for path in out.iterdir()}
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json", "spec.yaml"} <= set(
        hub.files
    )
    assert f"uploaded to {URL}" in capsys.readouterr().out
    card = hub.files["README.md"].decode()
    assert 'from_pretrained("acme/out")' in card
    assert ModelCard(card).data.license == "unknown"
    assert all(b"hf_sesame" not in content for content in hub.files.values())


def test_a_public_repository_is_asked_for(
    make_run: MakeRun, export: Export, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run()
    assert export("demo", tmp_path / "out", "--push", "acme/out", "--public", "--json") == 0
    assert hub.created[0]["private"] is False
    assert json.loads(capsys.readouterr().out)["pushed"] == URL


def test_without_a_token_in_the_environment_nothing_is_written(
    make_run: MakeRun,
    export: Export,
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_run()
    monkeypatch.delenv("HF_TOKEN")
    # A login on this machine is not used.
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_login")
    assert export("demo", tmp_path / "out", "--push", "acme/out") == 2
    told = capsys.readouterr().err
    assert "HF_TOKEN is not set; expected a token of the hub that may write to acme/out" in told
    assert (hub.created, hub.uploads) == ([], [])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("repo", ["out", "acme/", "acme/a/b", "https://huggingface.co/acme/out"])
def test_a_name_that_is_no_repository_is_refused(
    make_run: MakeRun,
    export: Export,
    hub: Hub,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    repo: str,
) -> None:
    make_run()
    assert export("demo", tmp_path / "out", "--push", repo) == 2
    assert f"--push: got {repo!r}; expected OWNER/NAME" in capsys.readouterr().err
    assert not hub.created


def test_without_a_network_the_export_stays(
    make_run: MakeRun, export: Export, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run()
    out = tmp_path / "out"
    hub.error = ConnectionError("cannot reach https://ann:hf_sesame@huggingface.co\nat line 3")
    assert export("demo", out, "--push", "acme/out", "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["error"]["type"] == "UploadError"
    told = answer["error"]["message"]
    assert told.startswith("the upload failed: ConnectionError: cannot reach https://***@hugging")
    assert f"The export is complete in {out}. To upload it later: hf upload acme/out {out}" in told
    assert "hf_sesame" not in json.dumps(answer)
    assert answer["folder"] == str(out)
    assert {path.name for path in out.iterdir()} == set(answer["files"])
    assert (out / "config.json").exists()
