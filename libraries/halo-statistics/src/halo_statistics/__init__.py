"""The statistics of judging: win rates, their intervals, and tests of their differences.

All functions take and return plain numbers. Each function imports numpy and scipy when it needs
them, so importing this package costs nothing.
"""

from halo_statistics.agreement import accuracy, cohen_kappa, krippendorff_alpha
from halo_statistics.bootstrap import bootstrap_rate
from halo_statistics.calibration import Calibration, CalibrationBin, calibration
from halo_statistics.clustered import clustered_rate, standard_error
from halo_statistics.intervals import Proportion, proportion
from halo_statistics.length import LengthBias, LengthControlled, length_bias, length_controlled_rate
from halo_statistics.paired import PairedDifference, paired_difference
from halo_statistics.position import PositionBias, position_bias
from halo_statistics.sample_size import (
    interval_half_width,
    paired_power,
    paired_sample_size,
    sample_size,
)
from halo_statistics.significance import (
    POINTS,
    fisher_exact,
    holm,
    mcnemar_exact,
    p_text,
    paired_counts,
)
from halo_statistics.win_rate import (
    INTERVALS,
    RESULTS,
    Interval,
    Result,
    WinRate,
    rate_text,
    win_rate,
)

__all__ = [
    "INTERVALS",
    "POINTS",
    "RESULTS",
    "Calibration",
    "CalibrationBin",
    "Interval",
    "LengthBias",
    "LengthControlled",
    "PairedDifference",
    "PositionBias",
    "Proportion",
    "Result",
    "WinRate",
    "accuracy",
    "bootstrap_rate",
    "calibration",
    "clustered_rate",
    "cohen_kappa",
    "fisher_exact",
    "holm",
    "interval_half_width",
    "krippendorff_alpha",
    "length_bias",
    "length_controlled_rate",
    "mcnemar_exact",
    "p_text",
    "paired_counts",
    "paired_difference",
    "paired_power",
    "paired_sample_size",
    "position_bias",
    "proportion",
    "rate_text",
    "sample_size",
    "standard_error",
    "win_rate",
]
