"""Works that several components implement parts of."""

from __future__ import annotations

HALOS = "Ethayarajh, Xu, Jurafsky & Kiela (2024), Human-Aware Loss Functions (HALOs)"
