"""The statistics of judging under their former name. The current name is `halo_statistics`."""

from halo_statistics import *  # noqa: F403
from halo_statistics import __all__ as __all__
