"""Calls of pip for the Python that runs halo, and its failures in one sentence."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from halo_core.errors import InstallError
from halo_core.plugins.pip_log import pip_log, refusals_in, refused
from halo_core.redact import redact
from halo_core.stop_flag import BySignal
from halo_core.supervised import run_supervised, supervised
from halo_core.uri_credentials import without_credentials

# Nobody would see a question for a password, because the output of pip is read.
_PIP = (sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check")
DEFAULT_INDEX = "https://pypi.org/simple"
_TIDY_S = 10.0
"""Seconds in which pip removes its temporary files, after a Ctrl-C or when halo ends."""
_WAITING = (
    "pip is replacing packages, so halo waits until it has finished. A second Ctrl-C ends it now, "
    "and may leave a package half installed"
)
_SOURCES = ("index-url", "extra-index-url", "find-links", "no-index")
"""The settings of pip that say where distributions come from."""
_ORDER = {"global": 0, "install": 1, ":env:": 2}
"""The sections of pip's settings that a call of ``pip install`` uses; the last one counts."""
_UNREACHABLE = re.compile(
    r"NewConnectionError|ConnectTimeoutError|ReadTimeoutError|NameResolutionError|ProxyError"
    r"|SSLError|Connection refused|Temporary failure in name resolution|Connection aborted"
    r"|connection timed out",
    re.IGNORECASE,
)
_INVALID = re.compile(
    r"Ignoring version (\S+) of (\S+) since it has invalid metadata:\s*"
    r"(?:Requested .*? has invalid metadata: )?(.*?)\s*(?:\^|Please use pip)",
    re.DOTALL,
)
_UNWRITTEN = re.compile(r"due to an (?:OSError|EnvironmentError): \[Errno \d+\] (.+)")
_VERSIONS = re.compile(r"\(from versions: ([^)]*)\)")


class PipResult(NamedTuple):
    """The result of a call.

    Attributes:
        code: The exit code.
        out: The text on stdout.
        err: The text on stderr, without credentials.
        refusals: The pages of indexes that were refused, each with its status.
    """

    code: int
    out: str
    err: str
    refusals: tuple[str, ...] = ()


def call_pip(
    arguments: Sequence[str], *, environment: Mapping[str, str] | None = None
) -> PipResult:
    """Calls pip and returns its output.

    Args:
        arguments: The arguments after ``pip``.
        environment: The environment; that of this process by default.
    """
    with pip_log() as log:
        done = run_supervised(
            [*_PIP, "--log", str(log), *arguments],
            tidy_s=_TIDY_S,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment,
        )
        return PipResult(done.returncode, done.stdout, redact(done.stderr), refusals_in(log))


def stream_pip(
    arguments: Sequence[str],
    say: Callable[[str], None],
    *,
    environment: Mapping[str, str] | None = None,
) -> PipResult:
    """Calls pip, which may take minutes, and passes on each line that it prints.

    A stopped pip does not put back a package that it was replacing. So the first signal ends pip
    at once only if it has not begun to replace packages.

    Args:
        arguments: The arguments after ``pip``.
        say: Called with each line, without credentials.
        environment: The environment; that of this process by default.

    Raises:
        BySignal: When a signal came. pip has ended.
    """
    with pip_log() as log:
        lines: list[str] = []
        with supervised(
            [*_PIP, "--log", str(log), *arguments],
            tidy_s=_TIDY_S,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
        ) as process:
            try:
                _pass_on(process, lines, say)
            except BySignal as stopped:
                if not _is_replacing(lines):
                    raise
                say(_WAITING)
                _pass_on(process, lines, say)
                raise stopped from None
            code = process.wait()
        return PipResult(code, "", "\n".join(lines), refusals_in(log))


def _pass_on(process: subprocess.Popen[str], lines: list[str], say: Callable[[str], None]) -> None:
    for line in process.stdout or ():
        lines.append(redact(line.rstrip("\n")))
        say(lines[-1])
    process.wait()


def _is_replacing(lines: Sequence[str]) -> bool:
    """Returns whether pip has begun to change the installed packages."""
    return any(line.startswith("Installing collected packages") for line in lines)


def check_pip_may_install() -> None:
    """Checks that pip exists and may change this environment.

    Raises:
        InstallError: When there is no pip, or the system manages the environment.
    """
    # pip itself looks at this file, and only outside of virtual environments.
    managed = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    if sys.prefix == sys.base_prefix and os.path.exists(managed):
        raise InstallError(
            f"the system manages the packages of {sys.executable} ({managed}), so pip must not add "
            "any. Make an environment with python3 -m venv .venv, install halo in it, and use its "
            "halo"
        )
    done = call_pip(["--version"])
    if done.code != 0:
        raise InstallError(failure(done, "pip", ""))


def pip_settings() -> dict[str, str]:
    """Returns pip's settings from its files and from the environment, by name.

    Raises:
        InstallError: When pip cannot be called.
    """
    done = call_pip(["config", "list"])
    if done.code != 0:
        raise InstallError(failure(done, "pip", ""))
    found: dict[int, dict[str, str]] = {0: {}, 1: {}, 2: {}}
    for line in done.out.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in _ORDER:
            found[_ORDER[section]][name] = str(ast.literal_eval(value))
    return {k: v for place in found.values() for k, v in place.items() if v}


def index_environment(index: str, settings: Mapping[str, str]) -> dict[str, str] | None:
    """Returns the environment in which pip uses one index and no other source.

    ``--index-url`` alone does not do this, because pip adds the extra indexes of its settings. A
    distribution of another index could then have the same name and a higher version.

    Args:
        index: The address of the index; empty for the sources that pip is set to use.
        settings: pip's settings.

    Returns:
        None, for pip's own environment, if no index is given.
    """
    if not index:
        return None
    others = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    kept = {
        f"PIP_{name.upper().replace('-', '_')}": value
        for name, value in settings.items()
        if name not in _SOURCES
    }
    return {**others, **kept, "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index}


def sources(index: str, settings: Mapping[str, str]) -> str:
    """Returns the indexes that pip asks, without credentials.

    Args:
        index: The address of the index that an entry names, if any.
        settings: pip's settings.
    """
    if index:
        return without_credentials(index)
    listed = "" if settings.get("no-index") else settings.get("index-url", DEFAULT_INDEX)
    more = " ".join([listed, settings.get("extra-index-url", ""), settings.get("find-links", "")])
    return ", ".join(without_credentials(address) for address in dict.fromkeys(more.split()))


def failure(done: PipResult, wanted: str, source: str) -> str:
    """Returns why a call of pip failed, in one sentence with advice.

    Args:
        done: Its result.
        wanted: The requirement.
        source: The indexes that were asked.
    """
    said = done.err
    if "No module named pip" in said:
        return (
            f"this Python has no pip: {sys.executable}. Add it: {sys.executable} -m ensurepip, "
            "or install the distribution with the tool that made this environment"
        )
    if "externally-managed-environment" in said:
        return (
            f"the system manages the packages of {sys.executable}, so pip must not add any. Make "
            "an environment with python3 -m venv .venv, and install halo in it"
        )
    if "DO NOT MATCH THE HASHES" in said:
        return (
            f"the file of {wanted} has another hash than its index says ({source}), so it was not "
            "installed. It is damaged or was replaced: report it to its authors"
        )
    if unwritten := _UNWRITTEN.search(said):
        return (
            f"pip cannot write into the environment of {sys.executable}: {unwritten[1].strip()}. "
            "Make the place writable or make room there, or install halo in another environment"
        )
    if _UNREACHABLE.search(said):
        return (
            f"an index could not be reached, so {wanted} was not found ({source}). Is there a "
            "network? pip config list shows the indexes and proxies that pip uses"
        )
    versions = _VERSIONS.search(said)
    if versions and done.refusals:
        return refused(wanted, done.refusals)
    invalid = _INVALID.search(said)
    if invalid:
        problem = " ".join(invalid[3].rstrip(" ~").split())
        return (
            f"{invalid[2]} {invalid[1]} has metadata that are not valid ({problem}), so no version "
            f"fits {wanted} ({source}). Report it to its authors"
        )
    if versions and versions[1] in ("none", ""):
        return f"no index has a wheel of {wanted} for this Python and machine ({source})"
    if versions:
        return f"no version fits {wanted}; the index has {versions[1]} ({source})"
    lines = [line for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    shown = errors or lines[-1:] or ["it printed nothing"]
    return f"pip could not install {wanted}: {' '.join(shown)}"
