"""An environment for one distribution, over the packages of the environment that runs this.

It is made in a second, because torch and other packages are not copied: a line adds the folder of
this environment's packages to its path, after its own. halo itself is installed from wheels, and
not from the folder of the repository.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
_LEFT_OUT = ("PYTHONPATH", "HALO_PLUGINS", "HALO_FILES")
PARTS = [ROOT, *sorted([*ROOT.glob("libraries/halo-*"), *ROOT.glob("plugins/halo-*")])]

LONGEST = 3600
"""Seconds that one call may take. `halo check` limits each rule by itself."""


class CommandError(Exception):
    """A command that failed, with the end of its output."""


def build_wheels(folder: Path, projects: Sequence[Path]) -> list[Path]:
    """Builds the wheels of some projects with the build tools of this environment.

    Args:
        folder: The folder to write them to.
        projects: The folders of the projects.

    Returns:
        The wheels, sorted by name.

    Raises:
        CommandError: When one cannot be built.
    """
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    run([sys.executable, "-m", "pip", "wheel", *options, *map(str, projects)])
    return sorted(folder.glob("*.whl"))


class Environment:
    """A virtual environment with some wheels, over the packages of this one.

    Args:
        folder: The folder to make it in.
        wheels: Wheels to install, without their requirements.
    """

    def __init__(self, folder: Path, wheels: Sequence[Path]) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
        inner = sysconfig.get_path("purelib", vars={"base": str(folder)})
        over = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
        Path(inner, "over.pth").write_text("\n".join(over) + "\n")
        self.pip("--no-deps", "--no-index", "--ignore-installed", *map(str, wheels))

    def pip(self, *arguments: str) -> None:
        """Installs with the pip of this environment.

        Args:
            arguments: The arguments after ``pip install``.

        Raises:
            CommandError: When pip fails.
        """
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet"]
        run([*pip, *arguments])

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Calls Python in this environment, and returns its output and its exit code.

        Args:
            arguments: The arguments after ``python``.

        Raises:
            CommandError: When it takes longer than `LONGEST`.
        """
        command = [str(self.python), *arguments]
        try:
            return subprocess.run(
                command,
                capture_output=True,
                text=True,
                env=_clean(),
                cwd=self.folder,
                timeout=LONGEST,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CommandError(f"{' '.join(command)}\nit takes longer than {LONGEST} s") from error


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Runs a command and returns what it prints.

    Args:
        command: The command with its arguments.
        environment: Its environment variables; those of this process by default.

    Raises:
        CommandError: When its exit code is not 0.
    """
    done = subprocess.run(
        command, capture_output=True, text=True, env=_clean(environment), check=False
    )
    if done.returncode != 0:
        raise CommandError(f"{' '.join(command)}\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def _clean(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns the environment variables without those that add packages or choose plugins.

    Data of the hub are not loaded, so that a check says the same with and without a network.
    """
    kept = {k: v for k, v in (environment or os.environ).items() if k not in _LEFT_OUT}
    return {**kept, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
