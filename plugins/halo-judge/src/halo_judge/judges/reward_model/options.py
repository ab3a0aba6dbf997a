"""The judge `reward-model`: any sequence classifier of transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from halo_core.errors import UserError
from halo_core.finding import Requirement
from halo_core.judge import Beside, JudgeContext
from halo_core.option_fields import values_by_alias
from halo_core.option_markers import Execution, Location, ModelRef
from halo_core.scoring_judge import ScoringJudge, ScoringSession
from halo_core.stage import Inputs, ModelInput
from halo_core.workspace.json_files import no_file_in
from halo_judge.judges.reward_model.recipe import Recipe


class RewardModel(ScoringJudge):
    """Scores with a sequence classifier from a folder, the hub, or a train stage of the spec.

    Only safetensors are read, and no code of the model is run.
    """

    citation: ClassVar[str | None] = (
        "Bradley & Terry 1952, Rank Analysis of Incomplete Block Designs"
    )
    prompts_at_once: ClassVar[int] = 2048

    from_: ModelRef | None = Field(
        default=None,
        alias="from",
        description="A train stage whose loss makes a reward model, such as bradley-terry. Exactly "
        "one of `from`, `path` and `hub` is required.",
    )
    path: Annotated[str | None, Location()] = Field(
        default=None, description="A folder with a sequence classifier of transformers."
    )
    hub: str | None = Field(
        default=None, min_length=1, description="The id of a sequence classifier on the hub."
    )
    revision: str | None = Field(
        default=None, description="With `hub`, the branch, tag or commit. Default: main."
    )
    label: str | None = Field(
        default=None,
        description="Name or number of the label whose score counts, for a model with several "
        "labels.",
    )
    output: Literal["logit", "probability"] = Field(
        default="logit",
        description="The score: the label's logit, or its probability in [0, 1], which is a "
        "sigmoid for independent labels or a single label, otherwise a softmax.",
    )
    reads: Literal["conversation", "completion"] = Field(
        default="conversation",
        description="Input of the model: the prompt with the completion, or only the completion, "
        "for example for a detector that was trained on single texts.",
    )
    max_length: int | None = Field(
        default=None,
        ge=8,
        description="Maximum number of tokens. Default: the model's limit. Longer prompts lose "
        "their beginning.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Precision. auto is bfloat16 on a GPU that supports it, otherwise float32.",
    )
    batch_size: Annotated[int, Execution()] = Field(
        default=16, ge=1, description="Number of completions per batch."
    )
    device: Annotated[Literal["auto", "cpu", "cuda"], Execution()] = Field(
        default="auto", description="Device to compute on; auto is a GPU if there is one."
    )
    processes: Annotated[int, Execution()] = Field(
        default=1,
        ge=1,
        le=1024,
        description="Number of processes on this machine that score, usually one per GPU. Each "
        "loads the model. On a CPU, they share its threads, and rounding can depend on that.",
    )

    @field_validator("path")
    @classmethod
    def _is_model(cls, value: str | None) -> str | None:
        if value is not None and not (Path(value) / "config.json").is_file():
            raise ValueError(f"{value} has no config.json; expected a folder saved by transformers")
        if value is not None and (problem := no_file_in(Path(value))):
            raise ValueError(f"{value}: {problem}")
        return value

    @model_validator(mode="after")
    def _one_model(self) -> RewardModel:
        given = [
            name
            for name, value in (("from", self.from_), ("path", self.path), ("hub", self.hub))
            if value is not None
        ]
        if len(given) != 1:
            came = " and ".join(given) if given else "none"
            raise ValueError(f"expected exactly one of from, path and hub; got {came}")
        if self.revision is not None and self.hub is None:
            raise ValueError("only a model from the hub has a revision")
        return self

    def file_digests(self) -> Mapping[str, str]:
        """Returns the digest of the model's folder if the option `path` names it."""
        from halo_core.run.identity import folder_digest

        return {} if self.path is None else {"model": folder_digest(Path(self.path))}

    def model(self, models: Mapping[str, ModelInput]) -> ModelInput:
        """Returns the place of the model.

        Args:
            models: The models of the spec, as in `JudgeContext`.

        Raises:
            UserError: When the model is a stage of a spec, and there is no spec.
        """
        if self.hub is not None:
            return ModelInput(self.hub, self.revision or "main", "")
        if self.path is not None:
            return ModelInput(self.path, None, "")
        if "from" in models:
            return models["from"]
        raise UserError(
            f"from: {self.from_} is a stage of a spec, and there is none here; give path, a "
            "model's folder, or hub",
            location="the judge reward-model",
        )

    def check_inputs(self, inputs: Inputs) -> Sequence[tuple[str, str]]:
        """Returns options that do not fit the model: no weights, no such label, too long texts."""
        from halo_judge.judges.reward_model.look_ahead import classifier_mistakes

        named = next(o for o in ("from", "path", "hub") if values_by_alias(self)[o] is not None)
        return classifier_mistakes(
            inputs.models.get("from") if named == "from" else self.model({}),
            inputs,
            named=named,
            is_there=named != "from" or "from" in inputs.there,
            label=self.label,
            max_length=self.max_length,
            device=self.device,
            processes=self.processes,
        )

    def reads_beside(self) -> frozenset[Beside]:
        """Returns all parts, because the template or plain text contains them."""
        return frozenset({"tools", "fields"})

    def needed_here(self) -> list[Requirement]:
        """Returns the packages that read models."""
        packages = ("torch", "transformers", "halo_models")
        return [Requirement("package", p, "pip install 'halo-judge[models]'") for p in packages]

    def open_scoring(self, context: JudgeContext) -> AbstractContextManager[ScoringSession]:
        """Returns a session with the loaded model, which stores nothing.

        Raises:
            UserError: When torch or transformers is missing, there is no model or no GPU, or there
                are fewer GPUs than processes.
            ModelError: When it is not a sequence classifier with weights, or lacks the label.
            WorkerError: When one of several processes fails.
        """
        from halo_judge.judges.reward_model.open_session import open_session

        return open_session(
            self._recipe(context), device=self.device, processes=self.processes, warn=context.warn
        )

    def _recipe(self, context: JudgeContext) -> Recipe:
        return Recipe(
            self.model(context.models),
            label=self.label,
            probability=self.output == "probability",
            reads=self.reads,
            max_length=self.max_length,
            precision=self.precision,
            batch_size=self.batch_size,
        )
