"""`Registrar` under the name by which plugins of earlier versions import it."""

from __future__ import annotations

from halo_core.plugins.registrar import Registrar

__all__ = ["Registrar"]
