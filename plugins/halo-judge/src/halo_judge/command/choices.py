"""The options that both forms of `halo judge` share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from halo_core.errors import UserError
from halo_core.workspace.disk import unwritable
from halo_core.workspace.layout import Workspace, open_workspace


@dataclass(frozen=True)
class Choices:
    """The values of these options.

    Attributes:
        n: Number of comparisons to judge in each file; None for all.
        seed: Seed of the choice of comparisons.
        confidence: Confidence level of the intervals, in (0, 1).
        out: The file or folder to write; None writes nothing.
        dry_run: Whether the command only estimates and asks nothing.
        folder: The workspace's folder.
    """

    n: int | None
    seed: int
    confidence: float
    out: str | None
    dry_run: bool
    folder: str

    def workspace(self) -> Workspace:
        """Returns the workspace. A dry run creates no folder.

        Raises:
            PathError: When the folder cannot be created.
        """
        if self.dry_run:
            return Workspace(Path(self.folder).expanduser().resolve())
        return open_workspace(self.folder)

    def place(self, inputs: list[Path], *, endings: tuple[str, ...]) -> Path | None:
        """Returns the path to write, checked before anything is paid for; None writes nothing.

        Args:
            inputs: Files that must not be overwritten.
            endings: Allowed endings of the name. An empty ending also allows a folder.

        Raises:
            UserError: When the path cannot be written.
        """
        if self.out is None:
            return None
        path = Path(self.out).expanduser()
        folder = path.is_dir() or not path.suffix
        if not (path.suffix in endings or ("" in endings and folder)):
            known = ", ".join(ending for ending in endings if ending)
            more = ", or a folder" if "" in endings else ""
            raise UserError(
                f"expected a name that ends in {known}{more}", location=f"--out {self.out}"
            )
        if path.resolve() in [file.resolve() for file in inputs]:
            raise UserError(
                "is one of the files that are read; name another", location=f"--out {self.out}"
            )
        return path if self.dry_run else _writable(path, self.out)


def _writable(path: Path, given: str) -> Path:
    folder = path if path.is_dir() or not path.suffix else path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot be written: {error.strerror or error}; name another place",
            location=f"--out {given}",
        ) from error
    check_writable(folder, given)
    return path


def check_writable(folder: Path, given: str) -> None:
    """Does nothing if this user can make files in a folder.

    Args:
        folder: The folder of the output, which may not exist.
        given: The path in the command, for the message.

    Raises:
        UserError: When it exists and this user cannot write to it.
    """
    if folder.is_dir() and (reason := unwritable(folder)) is not None:
        raise UserError(
            f"cannot be written: {reason}; name another place", location=f"--out {given}"
        )
