"""Finds a distribution on a package index: its metadata and its file, without running its code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from halo_core.errors import InstallError
from halo_core.plugins.pip_calls import (
    call_pip,
    failure,
    index_environment,
    pip_settings,
    sources,
)
from halo_core.uri_credentials import without_credentials


class Found(NamedTuple):
    """A distribution on an index.

    Attributes:
        distribution: Its name, as its metadata writes it.
        version: The version that pip would install.
        summary: The summary in its metadata.
        author: The authors or maintainers in its metadata; empty if it names none.
        license: Its licence expression, or what it says instead; empty if it says nothing.
        homepage: The address of its project; empty if it names none.
        requires: Its requirements.
        file: The name of its file.
        sha256: The hash of its file; empty if pip does not know it.
        address: The address of its file, without credentials.
        index_url: The indexes that pip asked, without credentials.
    """

    distribution: str
    version: str
    summary: str
    author: str
    license: str
    homepage: str
    requires: tuple[str, ...]
    file: str
    sha256: str
    address: str
    index_url: str


def look_up(requirement: str, index: str = "") -> Found:
    """Returns what pip would install for a requirement, which is not installed.

    Only wheels count: reading the metadata of a source distribution would run its code.

    Args:
        requirement: A distribution, with or without versions.
        index: The address of the only index to ask; empty for those that pip is set to use.

    Raises:
        InstallError: When no index has it, no index can be reached or answers, a requirement in
            its metadata is not valid, or there is no pip.
    """
    settings = pip_settings()
    asked = sources(index, settings)
    options = ["--dry-run", "--no-deps", "--ignore-installed", "--only-binary", ":all:"]
    done = call_pip(
        ["install", "--quiet", "--retries", "1", *options, "--report", "-", requirement],
        environment=index_environment(index, settings),
    )
    if done.code != 0:
        raise InstallError(failure(done, requirement, asked))
    try:
        (found,) = json.loads(done.out)["install"]
        made = _found(found, asked)
    except (ValueError, KeyError) as error:
        raise InstallError(
            f"the report of pip about {requirement} cannot be read: {error}; pip 23 or later is "
            "needed"
        ) from error
    _check_requirements(made)
    return made


def _check_requirements(found: Found) -> None:
    """Raises an `InstallError` if a requirement cannot be read, which pip passes over."""
    from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
    from packaging.requirements import InvalidRequirement, Requirement

    for text in found.requires:
        try:
            marker = Requirement(text).marker
            if marker is not None:
                marker.evaluate({"extra": ""})
        except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName) as error:
            reason = str(error).partition("\n")[0]
            raise InstallError(
                f"{found.file} requires {text!r}, which is not a valid requirement ({reason}), so "
                "it was not installed. Report it to its authors"
            ) from error


def _found(found: Mapping[str, Any], asked: str) -> Found:
    metadata = found["metadata"]
    address = str(found["download_info"]["url"])
    hashes = found["download_info"].get("archive_info", {}).get("hashes", {})
    return Found(
        distribution=str(metadata["name"]),
        version=str(metadata["version"]),
        summary=str(metadata.get("summary", "")),
        author=_author(metadata),
        license=_license(metadata),
        homepage=_homepage(metadata),
        requires=tuple(metadata.get("requires_dist", ())),
        file=address.partition("#")[0].rpartition("/")[2],
        sha256=str(hashes.get("sha256", "")),
        address=without_credentials(address),
        index_url=asked,
    )


def _author(metadata: Mapping[str, Any]) -> str:
    names = ("author", "author_email", "maintainer", "maintainer_email")
    return ", ".join(dict.fromkeys(str(metadata[n]) for n in names if metadata.get(n)))


def _license(metadata: Mapping[str, Any]) -> str:
    if metadata.get("license_expression"):
        return str(metadata["license_expression"])
    # The older field may hold the whole text of a licence.
    text = str(metadata.get("license", "")).strip()
    return text if text and "\n" not in text and len(text) < 60 else ""


def _homepage(metadata: Mapping[str, Any]) -> str:
    addresses: dict[str, str] = {
        label.strip().lower(): address.strip()
        for label, _, address in (str(t).partition(",") for t in metadata.get("project_url", ()))
    }
    for label in ("homepage", "source", "repository"):
        if addresses.get(label, "").startswith("https://"):
            return addresses[label]
    page = str(metadata.get("home_page", ""))
    return page if page.startswith("https://") else ""
