"""Where the store was: see `halo_core.workspace`."""

from __future__ import annotations

from halo_core.workspace.files import read_json, write_json, write_text
from halo_core.workspace.layout import Workspace, open_workspace
from halo_core.workspace.records import stage_done

__all__ = ["Workspace", "open_workspace", "read_json", "stage_done", "write_json", "write_text"]
