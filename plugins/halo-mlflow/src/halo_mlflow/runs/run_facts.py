"""Facts from a run's folder in the form that MLflow shows: name, parameters, tags, inputs."""

from __future__ import annotations

import getpass
import json
import shlex
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from halo_core.hashing import short_hash
from halo_core.redact import redact
from halo_core.tracking.run_process import run_process
from halo_core.workspace import records
from halo_core.workspace.layout import title_of
from halo_core.workspace.run_title import recorded_title
from halo_mlflow.store.metric_keys import VERSION
from halo_mlflow.store.names import PlainStages, clean_name, flatten, plain_stages

_NO_PARAMETERS = ("name", "tracking", "reports")


@dataclass(frozen=True)
class RunFacts:
    """The facts in a run's folder.

    Attributes:
        folder: The folder.
        workspace: The workspace.
    """

    folder: Path
    workspace: Path

    @cached_property
    def tree(self) -> records.RunRecord:
        """The content of `run.json`."""
        return records.RUN.read(self.folder) or records.RunRecord()

    @cached_property
    def resolved(self) -> Mapping[str, Any]:
        """The content of the resolved spec."""
        path = self.folder / records.RESOLVED_SPEC
        tree = _tree(path.read_bytes()) if path.exists() else None
        return tree if isinstance(tree, dict) else {}

    @property
    def stages(self) -> Sequence[records.RunStage]:
        """The run's stages in order."""
        return self.tree.get("stages", [])

    @cached_property
    def rounds(self) -> Mapping[str, tuple[int, str]]:
        """The number of the round and the written id of each stage of rounds, by id."""
        return {s["id"]: (s["round"], s["repeats"]) for s in self.stages if "round" in s}

    @cached_property
    def plain(self) -> PlainStages:
        """The stages whose numbers have plain names."""
        return plain_stages(self.stages)

    @property
    def recipe(self) -> str:
        """The spec's name."""
        return str(self.tree.get("recipe") or self.resolved.get("name") or self.folder.name)

    @property
    def method(self) -> str:
        """The loss of the last train stage; the recipe if no stage trains."""
        names = [stage.get("loss") for stage in self.stages if stage["id"] == self.plain.method]
        return str(names[0]) if names and names[0] else self.recipe

    @property
    def suite(self) -> Path | None:
        """The folder of the suite that the run belongs to as a cell."""
        suite = self.tree.get("suite")
        return self.workspace / suite["folder"] if suite else None

    @property
    def run_name(self) -> str:
        """The title of the run, as the shell and reports show it."""
        return self.given_name or recorded_title(self.tree, self.folder)

    @property
    def given_name(self) -> str:
        """The name that `halo runs rename` gave to the run, or ""."""
        return title_of(self.folder)["title"]

    @property
    def command(self) -> str:
        """The command line that started the run."""
        return redact(shlex.join(map(str, self.tree.get("command", ()))))

    def parameters(self) -> dict[str, str]:
        """Returns the resolved spec by dotted path, without trackers and output folders."""
        tree = {k: v for k, v in self.resolved.items() if k not in _NO_PARAMETERS}
        return flatten(tree)

    def tags(self) -> dict[str, str]:
        """Returns the tags that do not change during the run."""
        return {
            "halo.kind": "run",
            "halo.recipe": self.recipe,
            "halo.method": self.method,
            "halo.run_dir": str(self.folder),
            "halo.spec_hash": self.spec_hash,
            "halo.keys": str(VERSION),
            "halo.version": str(self.tree.get("versions", {}).get("halo-core", "unknown")),
            "halo.plugins": ", ".join(self._plugins()),
            **self._suite_tags(),
            "mlflow.source.name": self._spec_file(),
            "mlflow.source.type": "LOCAL",
            "mlflow.user": _user(),
            "mlflow.note.content": self.note("", {}),
        }

    def note(self, headline: str, sentences: Mapping[str, str]) -> str:
        """Returns the run's description: the headline, one sentence per stage, and the command."""
        lines = [f"**{headline}**", ""] if headline else []
        lines += [f"* {stage}: {text}" for stage, text in sentences.items() if text]
        return "\n".join([*lines, "", f"`{self.command}`"]).strip()

    def data_sets(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Returns the name, digest and description of each source of each data set."""
        return [
            (name, _digest(source), source)
            for name, sources in self.tree.get("data", {}).items()
            for source in sources
        ]

    def _suite_tags(self) -> dict[str, str]:
        suite = self.tree.get("suite")
        if not suite:
            return {}
        axes = {clean_name(f"halo.axis.{axis}"): cell for axis, cell in suite["axes"].items()}
        return {"halo.suite": Path(suite["folder"]).name, "halo.cell": suite["cell"], **axes}

    def _spec_file(self) -> str:
        """Returns the spec path on the command line; MLflow shows what follows its last slash."""
        words = [str(word) for word in self.tree.get("command", ())]
        return next((word for word in words if word.endswith((".yaml", ".yml"))), "halo")

    @property
    def spec_hash(self) -> str:
        """The hash of the resolved spec."""
        path = self.folder / records.RESOLVED_SPEC
        content = path.read_bytes() if path.exists() else b""
        return short_hash(content)

    def _plugins(self) -> list[str]:
        components = self.tree.get("components", ())
        return sorted({f"{c['distribution']} {c['version']}" for c in components})


def process_tags(now_s: float) -> dict[str, str]:
    """Returns the tags that name the process of a run, and the time when it last sent."""
    return {
        "halo.host": socket.gethostname(),
        "halo.pid": str(run_process()),
        "halo.heartbeat": str(int(now_s)),
    }


@lru_cache(maxsize=8)
def _tree(content: bytes) -> Any:
    """Returns what YAML contains, which nobody changes. Each session of a run reads it."""
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(content)


def _digest(source: Mapping[str, Any]) -> str:
    """Returns a digest of a source's whole identity, because the split is part of it."""
    text = json.dumps(source, sort_keys=True, default=str)
    return short_hash(text)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
