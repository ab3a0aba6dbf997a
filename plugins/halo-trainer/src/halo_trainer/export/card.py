"""The model card of an exported model, ``README.md``, as the Hugging Face hub reads it."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halo_core.errors import UserError
from halo_core.redact import redact
from halo_core.stage import ModelInput
from halo_core.workspace.check_values import check_file
from halo_core.workspace.records import RUN, SPEC
from halo_models.load import read_config
from halo_models.notes import TEMPLATE_FILE, read_notes
from halo_trainer.export.licenses import unknown_license
from halo_trainer.export.origin import Origin
from halo_trainer.export.results import judged, results_of
from halo_trainer.export.source import ExportSource
from halo_trainer.export.weights import Precision, StoredWeights, is_classifier

TEMPLATE = Path(__file__).with_name("card.md.j2")
UNKNOWN = "unknown"
"""The hub's id for a licence that is not known."""


@dataclass(frozen=True)
class License:
    """The licence fields of a card.

    Attributes:
        id: The hub's id of the licence, such as ``apache-2.0``; ``other`` for another one.
        name: Name of another licence.
        link: Address of another licence.
    """

    id: str = UNKNOWN
    name: str | None = None
    link: str | None = None


def license_given(id_: str | None, name: str | None, link: str | None) -> License:
    """Returns the licence that the options name; an unknown one if they name none.

    Raises:
        UserError: When the hub does not know the id, or a name or a link is given for a licence
            that has an id.
    """
    if (name or link) and id_ != "other":
        raise UserError(
            f"only for a licence without an id; got --license {id_ or '(none)'}. Use it with "
            "--license other",
            location="--license-name" if name else "--license-link",
        )
    if id_ is None:
        return License()
    if (problem := unknown_license(id_)) is not None:
        raise UserError(
            f"{problem} For a licence that the hub does not know: --license other --license-name "
            "NAME --license-link URL",
            location="--license",
        )
    return License(id_, name, link)


def spec_text(source: ExportSource) -> str:
    """Returns the run's spec as given, without credentials.

    Raises:
        DataError: When it is not as it was written.
    """
    path = source.run / SPEC
    check_file(path, source.record.get("files", {}), RUN.mend)
    return redact(path.read_text(encoding="utf-8")) if path.is_file() else ""


def model_card(
    source: ExportSource,
    origin: Origin,
    stored: StoredWeights,
    precision: Precision,
    *,
    license_: License,
    adapter_base: str | None,
    name: str,
) -> str:
    """Returns the text of a card: what the model is, its use, data, results, spec and licence.

    Args:
        source: The stage with the model.
        origin: The origin of the model.
        stored: The weights as the stage stored them.
        precision: The precision of the exported weights.
        license_: The licence.
        adapter_base: The model that the adapter belongs to; None for a whole model.
        name: The name to load the model by: an id of the hub, or ``.`` for the card's folder.

    Raises:
        DataError: When a record or the spec cannot be read.
    """
    from huggingface_hub import ModelCard

    results = results_of(source)
    model = ModelInput(str(source.model), None, "")
    card = ModelCard.from_template(
        _metadata(source, origin, license_, adapter_base),
        template_path=str(TEMPLATE),
        source=source,
        origin=origin,
        licence=license_,
        adapter_base=adapter_base,
        name=name,
        stored=stored,
        precision=precision,
        classifier=is_classifier(source.model),
        chat=(source.model / TEMPLATE_FILE).is_file(),
        suffix=read_notes(model).prompt_suffix,
        rows=_embedding_rows(model),
        results=results,
        judged=judged(results),
        spec=spec_text(source),
        run_command=redact(shlex.join(source.record.get("command", []))),
        versions=source.record.get("versions", {}),
        code=_code,
        quoted=json.dumps,
        fence=_fence,
        cell=_cell,
    )
    return str(card.content)


def _metadata(
    source: ExportSource, origin: Origin, license_: License, adapter_base: str | None
) -> Any:
    from huggingface_hub import ModelCardData

    adapter = adapter_base is not None
    base = origin.base.name
    if adapter:
        base = None if adapter_base is None or Path(adapter_base).is_absolute() else adapter_base
    relation: dict[str, Any] = (
        {"base_model_relation": "adapter" if adapter else "finetune"} if base else {}
    )
    loss = source.stage.get("loss")
    return ModelCardData(
        base_model=base,
        datasets=list(origin.hub_data) or None,
        library_name="peft" if adapter else "transformers",
        license=license_.id,
        license_name=license_.name,
        license_link=license_.link,
        pipeline_tag="text-classification" if is_classifier(source.model) else "text-generation",
        tags=["halo", *([loss] if loss else [])],
        **relation,
    )


def _embedding_rows(model: ModelInput) -> int:
    return int(read_config(model).get_text_config().vocab_size)


def _code(text: object) -> str:
    """Returns a text as inline code on one line."""
    return f"`{' '.join(str(text).split()).replace('`', chr(39))}`"


def _cell(text: str) -> str:
    """Returns a text on one line, for a table."""
    return " ".join(text.split()).replace("|", "\\|")


def _fence(text: str) -> str:
    """Returns a fence that no line of a text can close."""
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    return "`" * max(3, longest + 1)
