"""Uploads an exported folder to the Hugging Face hub. The token comes from the environment only."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from halo_core.errors import UploadError, UserError
from halo_core.redact import redact

TOKEN = "HF_TOKEN"
"""The environment variable with the token."""
_REPO = re.compile(r"[\w.-]+/[\w.-]+")


def token_for(repo: str) -> str:
    """Returns the token for an upload, before anything is written.

    A token that was stored by a login is not used.

    Args:
        repo: The repository, ``OWNER/NAME``.

    Raises:
        UserError: When the repository has another form, or there is no token.
    """
    if not _REPO.fullmatch(repo):
        raise UserError(f"got {repo!r}; expected OWNER/NAME", location="--push")
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise UserError(
            f"{TOKEN} is not set; expected a token of the hub that may write to {repo}. Set the "
            "variable, or leave --push out",
            location="--push",
        )
    return token


def push(folder: Path, repo: str, token: str, *, public: bool) -> str:
    """Uploads a folder as one commit, and returns its address.

    A new repository is made if there is none. An existing one keeps its visibility and its history.

    Args:
        folder: The exported folder. It is not changed.
        repo: The repository, ``OWNER/NAME``.
        token: The hub's token.
        public: Whether a new repository is public.

    Raises:
        UploadError: When the hub cannot be reached or refuses.
    """
    import huggingface_hub

    try:
        huggingface_hub.create_repo(repo, token=token, private=not public, exist_ok=True)
        commit = huggingface_hub.upload_folder(
            repo_id=repo,
            folder_path=folder,
            token=token,
            commit_message="Add a model exported by halo",
        )
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0].replace(token, "***")[:300]
        raise UploadError(
            f"the upload failed: {type(error).__name__}: {redact(reason)}. Expected a hub that can "
            f"be reached, and a token in {TOKEN} that may write there. The export is complete in "
            f"{folder}. To upload it later: hf upload {repo} {shlex.quote(str(folder))}",
            location=repo,
        ) from error
    return str(commit.commit_url)
