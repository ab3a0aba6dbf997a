"""The statistics of judging under the name that they had before they were `halo_statistics`."""

from halo_statistics import *  # noqa: F403
from halo_statistics import __all__ as __all__
