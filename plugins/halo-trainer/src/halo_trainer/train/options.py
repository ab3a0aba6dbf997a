"""The options of the stage `train`. `training` does the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from halo_core.feedback import Feedback
from halo_core.guarded.loss_calls import control_tokens_of
from halo_core.loss import Loss
from halo_core.option_markers import (
    Added,
    Default,
    Execution,
    LearnRef,
    ModelRef,
    SamplesRef,
    StartRef,
    TestRef,
)
from halo_core.reference_point import RefPointEstimator
from halo_core.reference_update import ReferenceUpdate
from halo_core.stage import (
    Forecast,
    Inputs,
    Known,
    ModelInput,
    Product,
    Stage,
    StageContext,
    StageResult,
    Work,
)
from halo_core.token_view import TokenView
from halo_core.workspace.check_values import CHECKPOINTS
from halo_trainer.encode.chat_fields import (
    ContentTokens,
    Pretemplated,
    TemplateDate,
    TemplateMismatch,
    chat_options,
)
from halo_trainer.model.lora_options import PEFT, LoraOptions
from halo_trainer.train import option_checks as checks
from halo_trainer.train.checkpoints.counts import still_to_come
from halo_trainer.train.forecast import training_forecast
from halo_trainer.train.learning_rate import LearningRate
from halo_trainer.train.memory_and_time import (
    NOT_SHARED,
    Workload,
    checkpoint_bytes,
    disk_bytes,
    steps_of,
)
from halo_trainer.train.optimizers import optimizer_name
from halo_trainer.train.planned_work import training_work
from halo_trainer.train.recipe import (
    Duration,
    Intervals,
    KeptCheckpoints,
    ModelRecipe,
    OptimizerRecipe,
    Recipe,
    Task,
    TokenLimits,
)

COMPLETIONS: Mapping[Feedback, int] = {"paired": 2, "scored": 4}
"""Number of completions per example, for estimates: 1 otherwise. Groups have different sizes."""


class Train(Stage):
    """Trains a model with a loss on feedback."""

    produces: ClassVar[Product] = "model"

    from_: Annotated[StartRef | None, Default("previous")] = Field(
        default=None,
        alias="from",
        description="The model to start from: a stage's id, or `model`. If left out, the nearest "
        "earlier one, otherwise the spec's model.",
    )
    reference: Annotated[ModelRef | None, Default("from", when="needs_reference")] = Field(
        default=None,
        description="The model that the policy is compared with. It is frozen unless there is a "
        "`reference_update`. If left out, the model of `from`.",
    )
    data: LearnRef = Field(description="The feedback to learn from.")
    evaluate: dict[str, TestRef] = Field(
        default_factory=dict,
        description="Data sets on which the loss is measured. You choose a NAME for each one, and "
        "its loss is called eval/NAME/loss. The model does not learn from them.",
    )
    loss: Loss = Field(description="The loss of an example of feedback.")
    reference_point: Annotated[RefPointEstimator | None, Default("loss")] = Field(
        default=None,
        description="The number that log-ratios are compared with. If left out, that of the loss.",
    )
    reference_update: Annotated[ReferenceUpdate | None, Added()] = Field(
        default=None,
        description="Rule that mixes the policy's weights into the reference. If left out, "
        "none are mixed. Evaluation uses the reference of its step.",
    )
    reference_store: Annotated[Literal["on", "off"], Execution()] = Field(
        default="off",
        description="Whether the reference's log-probabilities are kept on disk, in the "
        "workspace's cache, for later epochs and for other trainings with the same reference. If "
        "all of them are there, the reference is not loaded.",
    )
    router_aux_loss_coef: Annotated[float, Added()] = Field(
        default=0.0,
        ge=0,
        description="Factor of the load-balancing loss of the routers of a mixture of experts "
        "(Fedus et al. 2022, eq. 4), over all tokens of the global batch. 0 turns it off.",
    )
    samples: SamplesRef | None = Field(
        default=None,
        description="Id of a stage `sample` that sampled one completion of the reference model "
        "for each prompt of the data. Only for a loss that needs such samples.",
    )
    batch_size: int = Field(
        default=32, ge=1, description="Number of examples per optimiser step, over all processes."
    )
    epochs: int | None = Field(
        default=None, ge=1, description="Passes over the data. 1 if `steps` is also left out."
    )
    steps: int | None = Field(default=None, ge=1, description="Number of optimiser steps in total.")
    learning_rate: float = Field(
        default=5e-7,
        gt=0,
        description="Learning rate after warm-up. The report's 5e-7 suits large pretrained models.",
    )
    optimizer: Annotated[str, AfterValidator(optimizer_name)] = Field(
        default="AdamW",
        description="A torch optimiser, in upper or lower case: AdamW, RMSprop (the report's), "
        "SGD...",
    )
    optimizer_options: dict[str, float | bool | list[float]] = Field(
        default_factory=dict,
        description="Further options of the optimiser, for example {betas: [0.9, 0.95]}.",
    )
    weight_decay: float = Field(
        default=0.0,
        ge=0,
        description="The optimiser's weight decay, for matrices but not for biases and norms.",
    )
    warmup_steps: int = Field(
        default=0, ge=0, description="Steps of linear warm-up of the rate (150 in the report)."
    )
    schedule: Literal["constant", "linear", "cosine"] = Field(
        default="constant", description="Learning rate after warm-up. linear and cosine fall to 0."
    )
    max_grad_norm: float | None = Field(
        default=10.0,
        gt=0,
        description="Largest 2-norm of the gradient over all weights. A larger gradient is scaled "
        "down to it (10 in the report). null turns this off.",
    )
    max_length: int | None = Field(
        default=None,
        ge=2,
        description="Largest number of tokens of prompt and completion together. If left out, 2048 "
        "or the model's context, whichever is less.",
    )
    max_prompt_length: int | None = Field(
        default=None,
        ge=1,
        description="Largest number of tokens of the prompt. If left out, half of max_length.",
    )
    template: str | None = Field(
        default=None,
        description="Chat template: tulu or Jinja source. If left out, the tokenizer's own.",
    )
    template_date: TemplateDate = None
    content_tokens: ContentTokens = None
    pretemplated: Pretemplated = False
    template_mismatch: TemplateMismatch = "error"
    unfinished: Annotated[Literal["keep", "drop", "undesirable"], Added()] = Field(
        default="keep",
        description="Treatment of completions that were cut off when they were sampled: train "
        "them without an end token (keep), drop them, or treat them as undesirable (only for "
        "binary feedback).",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="bfloat16 keeps trained weights in float32 and computes in bfloat16. It holds "
        "the frozen weights of linear layers in bfloat16 if this gives the same bits. auto is "
        "bfloat16 on a GPU that supports it, otherwise float32.",
    )
    lora: Annotated[LoraOptions | None, PEFT] = Field(
        default=None, description="Train low-rank factors instead of all weights."
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Dropout rate, wherever the model has dropout."
    )
    deterministic: bool = Field(
        default=False,
        description="Use only kernels whose results repeat bit for bit on one GPU, which is "
        "slower. On the CPU, results always repeat.",
    )
    gradient_checkpointing: Annotated[bool, Execution()] = Field(
        default=False, description="Compute activations twice to save memory."
    )
    micro_batch_tokens: Annotated[Annotated[int, Field(ge=1)] | Literal["auto"], Execution()] = (
        Field(
            default="auto",
            description="Largest number of tokens that a process computes at once. auto is found "
            "before the first step, so that the longest examples fit into memory; on a CPU it is "
            "4096 or less. If memory runs out later, one process repeats the step with half of it.",
        )
    )
    log_every: Annotated[int, Execution()] = Field(
        default=10, ge=1, description="Steps between logged metrics. The first step is also logged."
    )
    evaluate_every: Annotated[int | None, Execution(unless="exports_best")] = Field(
        default=None, ge=1, description="Steps between evaluations. If left out, only at the end."
    )
    checkpoint_every: Annotated[int, Execution()] = Field(
        default=200, ge=1, description="Steps between checkpoints. An interrupt also writes one."
    )
    checkpoint_minutes: Annotated[float | None, Execution()] = Field(
        default=None,
        gt=0,
        description="Largest number of minutes between checkpoints, if `checkpoint_every` steps "
        "take longer. If left out, only steps count.",
    )
    async_checkpoints: Annotated[bool, Execution()] = Field(
        default=True,
        description="Write checkpoints in the background: the state is copied into host memory, "
        "and steps continue while the copy is written. If the host has not twice the copy's memory "
        "free, the training waits for the checkpoint.",
    )
    keep_last: Annotated[int, Execution()] = Field(
        default=0,
        ge=0,
        description="Number of latest checkpoints to leave when the stage is done. While it runs, "
        "it keeps this number, but at least 2.",
    )
    keep_best: Annotated[int | None, Execution()] = Field(
        default=None,
        ge=0,
        description="Number of checkpoints with the lowest loss on the first set of `evaluate` to "
        "keep while the stage runs, and to leave when it is done. If left out, it keeps one while "
        "it runs and leaves none.",
    )
    export: Annotated[Literal["last", "best"], Added()] = Field(
        default="last",
        description="The weights that become the model: those of the last step, or those of the "
        "step with the lowest measured loss on the first set of `evaluate`.",
    )
    processes: Annotated[int, Execution()] = Field(
        default=1,
        ge=1,
        le=1024,
        description="Number of processes on each machine, usually one per GPU.",
    )
    machines: Annotated[int, Execution()] = Field(
        default=1,
        ge=1,
        le=65536,
        description="Number of machines, each with `processes` processes: torchrun's --nnodes, as "
        "`processes` is its --nproc-per-node. They share the workspace's folder. `halo run` on one "
        "of them waits until `halo join` was started on the others.",
    )
    sharding: Annotated[Literal["auto", "none", "full"], Execution()] = Field(
        default="auto",
        description="Whether each of several processes holds the whole model (none), or only a "
        "share of its weights, gradients and optimiser state (full: torch's FSDP2). auto is full "
        "on GPUs if the whole model does not fit on each of them; on a CPU, and with "
        "reference_store, it is none.",
    )
    device: Annotated[Literal["auto", "cpu", "cuda"], Execution()] = Field(
        default="auto", description="Device to compute on. auto is a GPU if there is one."
    )

    @property
    def needs_reference(self) -> bool:
        """Whether the loss, or the reference point it needs, compares with a reference model."""
        return bool({"reference_logps", "reference_point"} & set(self.loss.needed()))

    @property
    def stores_reference(self) -> bool:
        """Whether the reference's log-probabilities are kept on disk."""
        return self.reference_store == "on"

    @property
    def exports_best(self) -> bool:
        """Whether evaluation decides which step becomes the model."""
        return self.export == "best"

    @property
    def reads(self) -> Feedback:
        """The kind of feedback that it reads. Pairs if the reference point is within them."""
        return "paired" if self._point_within_pairs else self.loss.resolved_feedback()

    @property
    def _point_within_pairs(self) -> bool:
        return self.reference_point is not None and self.reference_point.observes == "pair"

    def feedback_wanted(self) -> Mapping[str, Feedback]:
        """Returns the kind of feedback of the data and every evaluation set."""
        return dict.fromkeys(("data", "evaluate"), self.reads)

    def mistakes(self) -> Sequence[tuple[str, str]]:
        """Returns options that contradict each other, the loss or the optimiser."""
        compares, adapted = self.needs_reference, self.lora is not None
        loss, point, update = self.loss, self.reference_point, self.reference_update
        named = self.reference is not None
        return [
            *checks.loss_mistakes(loss),
            *checks.reference_mistakes(loss, point, reference_named=named, compares=compares),
            *checks.sample_mistakes(loss, samples_named=self.samples is not None),
            *checks.update_mistakes(update, compares=compares, adapted=adapted, steps=self.steps),
            *checks.store_mistakes(
                compares=compares, updated=update is not None, stored=self.stores_reference
            ),
            *checks.control_token_mistakes(loss, self.reads, self.lora),
            *checks.duration_mistakes(self.epochs, self.steps, self.warmup_steps),
            *checks.length_mistakes(self.max_length, self.max_prompt_length),
            *checks.unfinished_mistakes(self.unfinished, self.reads),
            *checks.optimizer_mistakes(self.optimizer, self.optimizer_options),
            *checks.evaluation_mistakes(
                self.evaluate_every, len(self.evaluate), keep_best=self.keep_best
            ),
            *self._export_mistakes(),
        ]

    def _export_mistakes(self) -> checks.Mistakes:
        if not self.exports_best:
            return iter(())
        return checks.export_mistakes(
            self.evaluate_every,
            len(self.evaluate),
            keep_best=self.keep_best,
            updated=self.reference_update is not None,
        )

    def forecast(self, known: Known) -> Forecast:
        """Returns what a device needs, whether it fits, the time, and what to change."""
        work = self._workload()
        forecast = training_forecast(work, known)
        size = {**forecast.size, **self._prompt_line()}
        if forecast.weights is None:
            return replace(forecast, size=size)
        most, left = self._disk_bytes(forecast.weights, work, known.learned)
        return replace(forecast, size=size, disk=most, left=left)

    def work(self, known: Known) -> Work | None:
        """Returns the bytes of rows that are learned from, times the passes of the models."""
        return training_work(self._workload(), known)

    def _workload(self) -> Workload:
        return Workload(
            optimizer=self.optimizer,
            reference=self.needs_reference,
            reference_updated=self.reference_update is not None,
            reference_point="reference_point" in self.loss.needed(),
            trained_share=0.0 if self.lora else 1.0,
            batch_size=self.batch_size,
            completions=COMPLETIONS.get(self.reads, 1),
            steps=self.steps,
            epochs=self.epochs or 1,
            checkpointing=self.gradient_checkpointing,
            copied=self.async_checkpoints,
            stored=self.stores_reference,
            rank=self.lora.rank if self.lora else None,
            precision=self.precision,
            processes=self.processes * self.machines,
            machines=self.machines,
            sharding=self.sharding,
            row=self.micro_batch_tokens,
            longest=self.max_length,
            device=self.device,
        )

    def _prompt_line(self) -> dict[str, str]:
        """Returns a line on prompts if the gradient pass cannot share them."""
        if self.dropout == 0 and (self.lora is None or self.lora.dropout == 0):
            return {}
        return {"prompts": NOT_SHARED}

    def _disk_bytes(self, weights: int, work: Workload, rows: int | None) -> tuple[int, int]:
        """Returns the most bytes on disk at a time, and the bytes that are left at the end."""
        kept, left, measured = self._kept, self._kept.last, bool(self.evaluate)
        running = kept.last_while_running + (kept.best_while_running if measured else 0)
        if measured:
            left += kept.best or 0
        steps = steps_of(work, rows)
        to_come = running + 1  # as many as are ever there at once
        if steps is not None:
            to_come = still_to_come(
                done=0,
                steps=steps,
                every=1 if self.checkpoint_minutes is not None else self.checkpoint_every,
                evaluate_every=self.evaluate_every,
                best=measured and kept.best_while_running > 0,
            )
        model = 4 * weights
        most = disk_bytes(weights, work, to_come=to_come, kept=running)
        return most, model + min(left, to_come) * checkpoint_bytes(weights, work)

    @property
    def _kept(self) -> KeptCheckpoints:
        return KeptCheckpoints(
            self.keep_last, self.keep_best, self.export, in_background=self.async_checkpoints
        )

    def check_inputs(self, inputs: Inputs) -> Sequence[tuple[str, str]]:
        """Returns options that do not fit the models, the rows or the optimiser."""
        from halo_trainer.train.look_ahead import training_mistakes

        spread = self.sharding == "full" and self.processes * self.machines > 1
        return training_mistakes(self.recipe(), inputs, spread=spread, processes=self.processes)

    def view_rows(self, option: str, inputs: Inputs) -> Sequence[TokenView]:
        """Returns rows as the policy sees them, with the trained part of each."""
        from halo_trainer.train.look_ahead import view_training_rows

        return view_training_rows(self.recipe(), option, inputs)

    def preflight(self, models: Mapping[str, ModelInput]) -> None:
        """Checks control tokens, routers, and a reference that will take in the policy's weights.

        Raises:
            ModelError: When a control token is already in the vocabulary, there is no tokenizer,
                the reference has a different architecture, or there are no routers to balance.
        """
        if self.reference_update is not None and models["reference"] != models["from"]:
            from halo_trainer.train.reference.refresh import check_architectures

            check_architectures(models["from"], models["reference"])
        if self.router_aux_loss_coef > 0:
            from halo_models.load import read_config
            from halo_trainer.model.router import chosen_in

            config = read_config(models["from"])
            chosen_in(config, (config.architectures or [config.model_type])[0])
        if (tokens := control_tokens_of(self.loss)) is not None:
            from halo_models.control_tokens import check_control_tokens
            from halo_models.load import load_tokenizer
            from halo_models.notes import read_notes

            source = models["from"]
            tokenizer = load_tokenizer(source, self.template)
            check_control_tokens(tokenizer, tokens, read_notes(source))

    def command(self, folder: Path) -> Sequence[str] | None:
        """Returns the command that starts the processes when there are several."""
        if self.processes * self.machines == 1:
            return None
        from halo_trainer.launch import launch_command

        return launch_command(folder, self.processes, self.machines)

    def machines_needed(self) -> int:
        """Returns the number of machines."""
        return self.machines

    def recipe(self) -> Recipe:
        """Returns the options as plain values, each part for the code that needs it."""
        return Recipe(
            task=Task(
                self.loss,
                self.reads,
                self.reference_point,
                self.reference_update,
                self.router_aux_loss_coef,
            ),
            models=ModelRecipe(
                template=self.template,
                chat=chat_options(self),
                unfinished=self.unfinished,
                precision=self.precision,
                lora=self.lora,
                dropout=self.dropout,
                gradient_checkpointing=self.gradient_checkpointing,
                with_reference=self.needs_reference,
                stores_reference=self.stores_reference,
            ),
            lengths=TokenLimits(self.max_length, self.max_prompt_length, self.micro_batch_tokens),
            duration=Duration(self.batch_size, self.epochs, self.steps),
            optimizer=OptimizerRecipe(
                name=self.optimizer,
                options=self.optimizer_options,
                weight_decay=self.weight_decay,
                max_grad_norm=self.max_grad_norm,
            ),
            learning_rate=LearningRate(self.learning_rate, self.warmup_steps, self.schedule),
            intervals=Intervals(
                self.log_every,
                self.evaluate_every,
                self.checkpoint_every,
                self.checkpoint_minutes,
            ),
            kept=self._kept,
            device=self.device,
            deterministic=self.deterministic,
            sharding=self.sharding,
        )

    def run(self, context: StageContext) -> StageResult:
        """Trains, or continues from the last checkpoint, and writes the model.

        Raises:
            UserError: When the data are empty or the model cannot be used.
            NotFiniteError: When a loss or gradient is not a number. It has changed no weight.
            Interrupted: When asked to stop. A checkpoint was written.
        """
        with context.stop.at_once("nothing was begun"):
            from halo_trainer.train.training import train

        return train(self.recipe(), context)

    def tidy(self, folder: Path) -> None:
        """Removes the checkpoints that `keep_last` and `keep_best` do not name."""
        from halo_trainer.train.checkpoints.search import leave_checkpoints

        leave_checkpoints(folder / CHECKPOINTS, self.keep_last, self.keep_best or 0)
