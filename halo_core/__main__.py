"""`python -m halo_core` is `halo`, for environments whose scripts are not on the PATH."""

from __future__ import annotations

from halo_core.cli import main

if __name__ == "__main__":
    main()
