"""Loads the plugins of a made site, and looks up what became of them."""

from __future__ import annotations

from typing import Any

import pytest

from halo_core.errors import HaloError
from halo_core.plugins.discovery import load
from halo_core.plugins.entry_points import announcements
from halo_core.plugins.registry import BrokenPlugin, Registry


def loaded(site: Any, allowlist: str = "") -> Registry:
    return load(announcements([str(site.folder)]), allowlist=allowlist)


def broken(site: Any) -> BrokenPlugin:
    registry = loaded(site)
    assert registry.registrations == ()
    (row,) = registry.broken
    return row


def message_of(registry: Registry, kind: str, name: str) -> str:
    with pytest.raises(HaloError) as caught:
        registry.find(kind, name)
    return str(caught.value)
