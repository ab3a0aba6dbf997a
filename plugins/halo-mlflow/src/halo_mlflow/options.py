"""The options of the tracker `mlflow`. `halo_mlflow.runs.session` does the work."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field, field_validator

from halo_core.tracker import SuiteStatus, Tracker, TrackerSession
from halo_core.uri_credentials import uri_secrets, without_credentials
from halo_mlflow.address import address_problem


class MLflow(Tracker):
    """Shows a run in MLflow while it runs: parameters, curves, samples, verdicts, report."""

    uri: str | None = Field(
        None,
        description="Address of the store: http(s)://host:port, sqlite:///file or another "
        "database. If left out, MLFLOW_TRACKING_URI, or if it is not set a SQLite file in the "
        "workspace.",
    )
    experiment: str | None = Field(
        None,
        min_length=1,
        max_length=500,
        description="The experiment that the run belongs to. Default: halo/<name of the spec>.",
    )
    upload_models: bool = Field(
        False,
        description="Whether to upload the last model's folder. Otherwise only its path is "
        "recorded.",
    )
    register_model: str | None = Field(
        None,
        min_length=1,
        max_length=250,
        pattern=r"^[^/:.%\"']+$",
        description="The registered model that gets the last model as its next version. If "
        "left out, none is registered.",
    )
    verdict_traces: int = Field(
        512,
        ge=0,
        le=10_000,
        description="Maximum number of verdicts of the last judge stage to show as traces. Flips "
        "and unscored verdicts come first. 0 sends no traces.",
    )
    timeout_s: int = Field(
        10, ge=1, le=600, description="Seconds to wait for each answer of an MLflow server."
    )

    @field_validator("uri")
    @classmethod
    def _is_a_store(cls, uri: str | None) -> str | None:
        if uri is not None and (uri_secrets(uri) or ("@" in uri and uri.startswith("http"))):
            raise ValueError(
                "the address holds a password or a token, and the spec is recorded; expected "
                "http://host:port or a database without its password. Set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, "
                "for a server, and MLFLOW_TRACKING_URI for a database with a password"
            )
        if uri is not None and (problem := address_problem(uri)) is not None:
            raise ValueError(problem)
        return uri

    def unchecked_rules(self) -> Mapping[str, str]:
        """Returns the rules that would write runs of a test into the store of everybody's runs."""
        from halo_mlflow.store.store import URI_VARIABLE

        if self.uri is not None or not os.environ.get(URI_VARIABLE):
            return {}
        reason = (
            f"it would write runs of a test to the store in {URI_VARIABLE}; unset the variable, "
            "and a folder of its own is used"
        )
        return {"events": reason, "effects": reason}

    def writes_to(self) -> str:
        """Returns the address of the store, of which `mlflow.json` has one record for a run."""
        from halo_mlflow.store.store import DATABASE, URI_VARIABLE, choose_store

        if self.uri is None and not os.environ.get(URI_VARIABLE):
            return f"{DATABASE} in the workspace"
        return without_credentials(choose_store(self.uri, Path.cwd()).shown, "")

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        """Returns a session that connects when it first receives events."""
        from halo_mlflow.runs.session import MLflowSession

        return MLflowSession(self, run, workspace)

    def tell_suite(self, suite: Path, workspace: Path, status: SuiteStatus) -> Mapping[str, object]:
        """Shows a suite as one run, the parent of its cells' runs."""
        from halo_mlflow.runs.suite_parent import SuiteParent

        return SuiteParent(self, suite, workspace).tell(status)

    def take_report(self, report: Path, suite: Path, workspace: Path) -> bool:
        """Shows the files of a report as artifacts of the suite's run."""
        from halo_mlflow.runs.suite_parent import SuiteParent

        SuiteParent(self, suite, workspace).take_report(report)
        return True

    def compare_runs(self, runs: Sequence[Path], workspace: Path) -> Mapping[str, object]:
        """Returns the link to MLflow's page that compares runs."""
        from halo_mlflow.runs.comparison import compare_runs

        return compare_runs(self, runs, workspace)

    def has_run(self, run: Path, workspace: Path) -> bool:
        """Returns whether the store still has a run; False if the store cannot be reached."""
        from halo_mlflow.runs.lifecycle import has_run

        return has_run(self, run, workspace)

    def mark_deleted(self, folder: Path, workspace: Path) -> bool:
        """Marks the MLflow run of a run or suite as deleted. `mlflow gc` would purge it."""
        from halo_mlflow.runs.lifecycle import mark_deleted

        return mark_deleted(self, folder, workspace)
