"""Registers the stages that need torch, and commands, with no slow imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halo_core.hooks import hookimpl
from halo_core.plugins.registrar import Registrar

if TYPE_CHECKING:
    from pathlib import Path

    from halo_core.cache_entry import CacheEntry
    from halo_core.finding import Finding


@hookimpl
def halo_register(registry: Registrar) -> None:
    """Registers the components of this distribution."""
    registry.stage("train", "halo_trainer.train.options:Train")
    registry.stage("sample", "halo_trainer.sample.options:Sample")
    registry.stage("scratch", "halo_trainer.scratch.options:Scratch", makes_base_model=True)
    registry.stage("gguf", "halo_trainer.gguf.options:Gguf", makes_base_model=True)
    registry.command(
        "chat",
        "halo_trainer.chat.command:chat",
        help="Talk with a model of a run, or compare two.",
    )
    registry.command(
        "export",
        "halo_trainer.export.command:export",
        help="Write a model of a run as a folder to share, with a model card.",
    )
    registry.command(
        "serve",
        "halo_trainer.chat.serve:serve",
        help="Serve a model of a run to programs.",
    )
    registry.command(
        "store",
        "halo_trainer.reference_store.command:store",
        help="Show or remove stored log-probabilities of references.",
    )


@hookimpl
def halo_caches(cache: Path) -> list[CacheEntry]:
    """Returns the tokens and the stored log-probabilities of references."""
    from halo_trainer.caches import cache_entries

    return cache_entries(cache)


@hookimpl
def halo_doctor() -> list[Finding]:
    """Returns the versions of the libraries, the GPUs and the kernels for attention."""
    from halo_trainer.doctor import doctor_findings

    return doctor_findings()
