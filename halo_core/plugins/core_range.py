"""The range of versions of halo-core that a plugin written for this one may require."""

from __future__ import annotations

from halo_core import __version__

MINORS = 2
"""Number of minor versions, this one included, that keep what plugins use while halo is 0.x."""


def core_requirement(version: str = __version__) -> str:
    """Returns the requirement on halo-core of a plugin that is written for a version of it.

    Args:
        version: The version of halo-core.

    >>> core_requirement("0.2.0")
    'halo-core>=0.2,<0.4'
    >>> core_requirement("1.3.1")
    'halo-core>=1.3,<2'
    """
    major, minor = (int(part) for part in version.split(".")[:2])
    upper = f"0.{minor + MINORS}" if major == 0 else f"{major + 1}"
    return f"halo-core>={major}.{minor},<{upper}"
