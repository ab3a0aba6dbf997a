"""Files and folders that are complete or absent, JSON files, and files with one object per line.

A file is on the disk before a rename gives it its name. So it is complete or absent even after a
power cut.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from halo_core.errors import DataError
from halo_core.hashing import short_hash
from halo_core.workspace.disk import told_if_disk_fails
from halo_core.workspace.no_links import opened
from halo_core.workspace.user_paths import LONGEST_NAME

SHOWN = 80
"""Number of characters that a message shows of a line that cannot be read."""
AN_OBJECT = "a JSON object"

CHECK = "crc"
"""Name of the field for the check value of a line or an object."""
_CHECKED = re.compile(rb', "crc": "([0-9a-f]{8})"}\s*\Z')
"""Pattern of the end of a line with a check value."""
LONGEST_ENDING = 40
"""Number of characters that hidden names next to a path leave for their endings."""


def write_text(path: Path, text: str) -> None:
    """Writes a text file under another name and renames it, so that it is never incomplete."""
    _write(path, [text])


def _write(path: Path, pieces: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The other name is in the same folder, because a rename is atomic only within a file system. It
    # has the process id, because another process may write the same file.
    beside = beside_name(path, str(os.getpid()))
    try:
        with told_if_disk_fails(path.parent):
            with opened(beside, "wb") as file:
                for piece in pieces:
                    file.write(piece.encode("utf-8"))
            put_in_place(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def beside_name(path: Path, ending: str) -> Path:
    """Returns a hidden name next to a path, for what will be renamed to the path.

    It is ``.NAME.ENDING``, or has a hash of the name if the file system allows no longer one.

    Args:
        path: The path.
        ending: A text of at most `LONGEST_ENDING` characters.
    """
    name = path.name
    if len(os.fsencode(f".{name}.")) + LONGEST_ENDING > LONGEST_NAME:
        name = short_hash(name)
    return path.with_name(f".{name}.{ending}")


def put_in_place(beside: Path, path: Path) -> None:
    """Waits until a file is on the disk, then renames it within its folder.

    Args:
        beside: The file.
        path: The new name. An existing file with this name is replaced.
    """
    make_durable(beside)
    beside.replace(path)
    make_durable(path.parent, within=False)


def make_durable(path: Path, *, within: bool = True) -> None:
    """Waits until a file or a folder would survive a power cut.

    Args:
        path: The file or folder. The targets of symbolic links are left out.
        within: Whether to include all files in a folder. Otherwise only their names are saved.
    """
    if path.is_symlink():
        return
    if path.is_file():
        # A file that is already gone, such as the journal of a database, need not be saved.
        with suppress(FileNotFoundError):
            _sync(path)
    elif path.is_dir():
        for entry in path.iterdir() if within else ():
            make_durable(entry)
        # Some file systems cannot do this for folders, and save the names by themselves.
        with suppress(OSError):
            _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, tree: Any) -> None:
    """Writes a JSON file under another name and renames it.

    Raises:
        ValueError: When a number is not finite.
    """
    write_text(path, _json(tree, indent=2) + "\n")


def read_json(
    path: Path, *, mend: str = "Remove it, or put the file back as it was", absent: Any = None
) -> Any:
    """Returns the content of a JSON file.

    Args:
        path: The file.
        mend: The advice in the message if it cannot be read.
        absent: The value to return if there is no file. The content `null` is None, too.

    Raises:
        DataError: When it is not JSON, or is nested too deeply for Python to read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return absent
    except json.JSONDecodeError as error:
        raise DataError(
            f"is not JSON ({error.msg}); expected a JSON file as halo writes it. {mend}",
            location=f"{path}:{error.lineno}",
        ) from error
    except RecursionError:  # Its traceback of thousands of frames helps nobody.
        raise DataError(
            f"is nested too deeply; expected a JSON file as halo writes it. {mend}",
            location=str(path),
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"is not text ({error.reason}); expected a JSON file as halo writes it. {mend}",
            location=str(path),
        ) from error


def json_line(tree: Mapping[str, Any]) -> str:
    """Returns an object as one line, with a line end.

    Raises:
        ValueError: When a number is not finite.
    """
    return _json(tree) + "\n"


def _json(tree: Any, *, indent: int | None = None) -> str:
    text = json.dumps(tree, indent=indent, ensure_ascii=False, allow_nan=False)
    # A judge's reply may contain half of a surrogate pair, which is not valid UTF-8. It is written
    # as JSON's escape, a backslash and its number, and is read back unchanged.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


ENDS_OF_LINES = str.maketrans({end: f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"})
"""Letters at which `str.splitlines` ends a line and JSON does not, and their escapes in JSON."""


def checked_line(tree: Mapping[str, Any], *, escaped: bool = False) -> str:
    r"""Returns an object as a line whose last field is a check value of everything before it.

    Args:
        tree: The object.
        escaped: Whether `ENDS_OF_LINES` are escaped, for readers that use `str.splitlines`.

    Raises:
        ValueError: When a number is not finite.

    >>> checked_line({"a": 1})
    '{"a": 1, "crc": "7aa88204"}\n'
    """
    begun = _json(tree).removesuffix("}")
    if escaped and not begun.isascii():
        begun = begun.translate(ENDS_OF_LINES)
    return f'{begun}, "crc": "{_crc(begun.encode())}"}}\n'


def object_check(tree: Mapping[str, Any]) -> str:
    """Returns a check value of an object, whatever the order of its keys.

    Raises:
        ValueError: When a number is not finite.
    """
    text = json.dumps(tree, sort_keys=True, allow_nan=False)
    return _crc(text.encode("utf-8", "backslashreplace"))


def _crc(line: bytes) -> str:
    return f"{zlib.crc32(line):08x}"


def append_lines(path: Path, trees: Iterable[Mapping[str, Any]], *, escaped: bool = False) -> None:
    """Appends whole lines with check values to a file, which is made where it is not there.

    Args:
        path: The file.
        trees: The objects.
        escaped: See `checked_line`.
    """
    lines = "".join(checked_line(tree, escaped=escaped) for tree in trees)
    append_bytes(path, lines.encode("utf-8"))


def append_bytes(path: Path, content: bytes) -> None:
    """Appends all of some bytes to a file, or nothing. The file is made if it is not there.

    A disk that becomes full takes a part. Without it being cut off again, the next line would
    become a part of the half one.

    Raises:
        DiskError: When the disk is full, or fails.
        OSError: Any other error of the system.
    """
    with told_if_disk_fails(path.parent), opened(path, "ab", buffering=0) as file:
        end, left = file.seek(0, os.SEEK_END), memoryview(content)
        try:
            while left:
                left = left[file.write(left) :]
        except OSError:
            # Another process may have appended something since. A device cannot be cut off.
            if file.seek(0, os.SEEK_END) == end + len(content) - len(left):
                with suppress(OSError):
                    file.truncate(end)
            raise


def mend_last_line(path: Path) -> None:
    """Cuts off a last line without its end, which a killed writer leaves.

    What is appended next would otherwise become a part of it. Call it where no other process
    appends to the file.
    """
    try:
        with opened(path, "rb+") as file:
            end = file.seek(0, os.SEEK_END)
            kept = end
            while kept > 0:
                begin = max(0, kept - SHOWN)
                file.seek(begin)
                last = file.read(kept - begin).rfind(b"\n")
                if last >= 0:
                    kept = begin + last + 1
                    break
                kept = begin
            if kept < end:
                file.truncate(kept)
    except FileNotFoundError:
        return


def write_lines(path: Path, trees: Iterable[Mapping[str, Any]]) -> None:
    """Writes a file of lines, one by one, under another name and renames it.

    The lines may come from a file of the same name, which is replaced at the end.
    """
    _write(path, map(json_line, trees))


def read_lines(
    path: Path, *, whole: bool = True, expected: str = AN_OBJECT
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the number of each line, from 1, and its object; nothing if there is no file.

    Empty lines are skipped.

    Args:
        path: The file.
        whole: False for a file that is appended to. A killed writer may leave a last line without
            its end, which is then skipped too.
        expected: Description of a valid line, with advice, for the message.

    Raises:
        DataError: When a line is not a JSON object. The error names file and line.
    """
    try:
        # Read as bytes, because a killed writer may have cut its last line inside a character.
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for number, line in enumerate(file, start=1):
            if line.strip() and (whole or line.endswith(b"\n")):
                yield number, parse_line(line, f"{path}:{number}", expected)


def parse_line(line: bytes, where: str, expected: str = AN_OBJECT) -> dict[str, Any]:
    """Returns the object of a line.

    Args:
        line: The line, as UTF-8.
        where: File and line, for the message.
        expected: Description of a valid line, with advice, for the message.

    Raises:
        DataError: When it is not a JSON object.
    """
    try:
        tree = json.loads(line)
    except (ValueError, RecursionError):  # not JSON, not UTF-8, or nested too deeply
        tree = None
    if not isinstance(tree, dict):
        shown = beginning_of(line.decode("utf-8", "replace").strip())
        raise DataError(f"got {shown!r}; expected {expected}", location=where)
    # Lines of files that grow have one; those of other files, and of an older halo, do not.
    if checked := _CHECKED.search(line):
        del tree[CHECK]
        if _crc(line[: checked.start()]) != checked.group(1).decode():
            shown = beginning_of(line.decode("utf-8", "replace").strip())
            raise DataError(
                f"got {shown!r}, which is not what was written: its check value is another; "
                f"expected {expected}",
                location=where,
            )
    return tree


def beginning_of(text: str) -> str:
    """Returns the beginning of a text, as long as a message shows."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yields an empty folder that replaces `folder` when the block ends without an error.

    Its files get the permissions that new files have. The remains of an earlier, killed writer of
    the same folder are removed. So two processes must not write one folder at the same time.

    Raises:
        DiskError: When the disk is full, or fails. Existing lines are kept.
    """
    partial = begun_folder(folder)
    with whole_after(partial, folder):
        yield partial


@contextmanager
def whole_after(partial: Path, folder: Path) -> Iterator[None]:
    """Puts a folder from `begun_folder` in its place when the block ends without an error.

    Otherwise, the folder is removed.

    Raises:
        DiskError: When the disk is full, or fails.
    """
    try:
        with told_if_disk_fails(folder.parent):
            yield
            _give_permissions(partial)
            make_durable(partial)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _put_folder_in_place(partial, folder)


def begun_folder(folder: Path) -> Path:
    """Returns a new folder for files that will be in `folder`. It does not count as that folder.

    The remains of an earlier, killed writer of the same folder are removed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    ending = f"{uuid.uuid4().hex[:8]}.partial"
    partial = beside_name(folder, ending)
    begin = glob.escape(partial.name.removesuffix(ending))  # A folder may be called [a] or *.
    for remains in folder.parent.glob(f"{begin}*.partial"):
        shutil.rmtree(remains, ignore_errors=True)
    partial.mkdir()
    return partial


def _put_folder_in_place(partial: Path, folder: Path) -> None:
    if folder.exists():
        # A folder cannot replace one that contains files. The older folder gets a name that the
        # next writer removes, if this writer is killed before it does so.
        replaced = partial.with_name(partial.name.replace(".partial", ".replaced.partial"))
        folder.rename(replaced)
        partial.rename(folder)
        make_durable(folder.parent, within=False)
        if not replaced.is_dir() or replaced.is_symlink():
            replaced.unlink()  # The folder that a link leads to stays as it is.
        else:
            shutil.rmtree(replaced)
    else:
        partial.rename(folder)
        make_durable(folder.parent, within=False)


def _give_permissions(folder: Path) -> None:
    """Gives the files in a new folder the permissions of new files.

    The writer of safetensors makes files that only their owner can read, whatever the umask is.
    """
    new = folder.stat().st_mode & 0o666
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(new)
