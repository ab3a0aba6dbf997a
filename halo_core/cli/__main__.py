"""`python -m halo_core.cli` is `halo`."""

from __future__ import annotations

from halo_core.cli import main

if __name__ == "__main__":
    main()
