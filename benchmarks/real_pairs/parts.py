"""Runs parts of the benchmark in processes of their own, each once for the same inputs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from halo_core.hashing import file_hash, short_hash

HERE = Path(__file__).parent
LIBRARIES = ("torch", "transformers", "trl")


def part_of(
    folder: Path,
    module: str,
    *arguments: str,
    name: str,
    made_of: Mapping[str, str],
    threads: int,
) -> Any:
    """Returns the result of a part, whose memory is free afterwards.

    Its file stays in the folder, so that an interrupted benchmark does not compute it again. The
    file's name has a hash of what it was made of: the inputs, the part's own code and the versions
    of the libraries. So a result of other inputs is never read.

    Args:
        folder: The folder of the benchmark.
        module: A module of this package, called with the arguments, its file and the threads.
        arguments: Arguments of the module.
        name: Name of the result.
        made_of: The inputs that decide the result, by name, each as a text that tells one from
            another.
        threads: Threads of torch, which do not count as an input.

    Raises:
        subprocess.CalledProcessError: When the part fails.
    """
    code = {file.name: file_hash(file) for file in sorted(HERE.glob("*.py"))}
    libraries = {library: _version(library) for library in LIBRARIES}
    whole = json.dumps([module, dict(made_of), code, libraries], sort_keys=True)
    file = (folder / f"{name}-{short_hash(whole)}.json").resolve()
    if file.exists():
        print(f"{name}: read from {file.name}, which this benchmark has computed before")
    else:
        begun = file.with_suffix(".begun")
        command = [sys.executable, "-m", f"real_pairs.{module}", *arguments]
        subprocess.run([*command, str(begun), str(threads)], cwd=HERE.parent, check=True)
        begun.replace(file)
    return json.loads(file.read_text())


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"
