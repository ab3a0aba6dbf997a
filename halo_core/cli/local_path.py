"""The type of arguments and options that name a file or folder of this machine."""

from __future__ import annotations

from typing import Any

import click

from halo_core.errors import PathError


class LocalPath(click.Path):
    """A path. An address such as ``s3://bucket/runs`` is refused.

    As a path it would mean a folder ``s3:`` below the current one, and a run would write into it.
    """

    def __init__(self, **limits: Any) -> None:
        # The command says what a path that cannot be read or written to is needed for.
        super().__init__(**{"readable": False, **limits})

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the path as `click.Path` does.

        Raises:
            PathError: When it is empty or an address, or its bytes are not UTF-8.
        """
        from halo_core.workspace.user_paths import (
            address_problem,
            emptiness_problem,
            encoding_problem,
        )

        if (problem := encoding_problem(value)) is not None:
            raise PathError(problem, location=str(value))
        problem = emptiness_problem(str(value)) or address_problem(str(value))
        if problem is not None:
            name = None if param is None else param.human_readable_name.strip("[].")
            raise PathError(problem, location=name)
        return super().convert(value, param, ctx)
