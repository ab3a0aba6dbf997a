"""`Registrar` under its old name, for plugins of earlier versions that import it."""

from __future__ import annotations

from halo_core.plugins.registrar import Registrar

__all__ = ["Registrar"]
