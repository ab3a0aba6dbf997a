"""The statistics of judging: win rates, their intervals, and tests of their differences.

Plain numbers in, plain numbers out. scipy and statsmodels are imported by the functions that need
them, so importing this package costs nothing.
"""

from halo_report.statistics.significance import (
    POINTS,
    fisher_exact,
    holm,
    mcnemar_exact,
    p_text,
    paired_counts,
)
from halo_report.statistics.win_rate import (
    RESULTS,
    Proportion,
    Result,
    WinRate,
    proportion,
    rate_text,
    win_rate,
)

__all__ = [
    "POINTS",
    "RESULTS",
    "Proportion",
    "Result",
    "WinRate",
    "fisher_exact",
    "holm",
    "mcnemar_exact",
    "p_text",
    "paired_counts",
    "proportion",
    "rate_text",
    "win_rate",
]
