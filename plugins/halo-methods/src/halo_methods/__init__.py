"""Human-aware losses and reference points for halo."""

from __future__ import annotations

HALOS = "Ethayarajh, Xu, Jurafsky & Kiela (2024), Human-Aware Loss Functions (HALOs)"
