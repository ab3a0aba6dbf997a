"""The options that both ways of calling `halo judge` have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from halo_core.errors import UserError
from halo_core.workspace.layout import Workspace, open_workspace


@dataclass(frozen=True)
class Choices:
    """What was chosen.

    Attributes:
        n: How many comparisons of each file are judged; None for all.
        seed: Which ones.
        confidence: Of the intervals, in (0, 1).
        out: Where to write; None for nowhere.
        dry_run: Whether nothing is asked.
        folder: The workspace's.
    """

    n: int | None
    seed: int
    confidence: float
    out: str | None
    dry_run: bool
    folder: str

    def workspace(self) -> Workspace:
        """Returns the workspace; a dry run makes no folder.

        Raises:
            PathError: When it cannot be made.
        """
        if self.dry_run:
            return Workspace(Path(self.folder).expanduser().resolve())
        return open_workspace(self.folder)

    def place(self, inputs: list[Path], *, endings: tuple[str, ...]) -> Path | None:
        """Returns where to write, before anything is paid for; None for nowhere.

        Args:
            inputs: Files that are not to be written over.
            endings: What the name may end in; with an empty one also a folder.

        Raises:
            UserError: When it cannot be written there.
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
    return path
