"""Makes the model of a run a version of one of MLflow's registered models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

_EXISTS = "RESOURCE_ALREADY_EXISTS"


@dataclass(frozen=True)
class RegisteredSource:
    """The model that becomes a version.

    Attributes:
        run_id: MLflow's id of the run that made it.
        model_id: MLflow's id of the logged model. Its tag `halo.folder` has the folder.
        tags: Tags of the version.
        description: Text of the version's page.
    """

    run_id: str
    model_id: str
    tags: Mapping[str, str]
    description: str


def register_model(client: MlflowClient, name: str, source: RegisteredSource) -> str:
    """Returns the version that a model has, which is the next one if it has none yet.

    Args:
        client: A client of the store.
        name: The registered model. It is created if there is none.
        source: The model.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != _EXISTS:
            raise
    # The address ``models:/ID`` would be looked up in the store that the process uses by default,
    # which need not be this client's.
    place = str(client.get_logged_model(source.model_id).artifact_location)
    # A killed sender may have made the version without recording it.
    for version in client.search_model_versions(f"name='{name}'"):
        if version.run_id == source.run_id and version.source == place:
            return str(version.version)
    made = client.create_model_version(
        name,
        place,
        run_id=source.run_id,
        tags=dict(source.tags),
        description=source.description,
        model_id=source.model_id,
    )
    return str(made.version)
