"""The stage `train`: what it is asked to do. How it does it is in `train_loop`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from halo_core.component import (
    Added,
    Default,
    Execution,
    LearnRef,
    ModelRef,
    SamplesRef,
    StartRef,
    TestRef,
)
from halo_core.feedback import Feedback
from halo_core.guarded.loss_calls import control_tokens_of
from halo_core.loss import Loss, Need
from halo_core.reference_point import RefPointEstimator
from halo_core.reference_update import ReferenceUpdate
from halo_core.stage import (
    Forecast,
    Known,
    ModelInput,
    Product,
    Stage,
    StageContext,
    StageResult,
)
from halo_trainer.model.lora_options import LoraOptions
from halo_trainer.train.memory_and_time import (
    GPU,
    PER_STEPS,
    gpu_hours,
    gpu_hours_line,
    memory_line,
    training_gigabytes,
)
from halo_trainer.train.optimizer_names import optimizer_name, unknown_options
from halo_trainer.train.reference_shares import TRIED, UNMIXABLE, mixes_weights, shares_of

PROVIDED = (
    "policy_logps",
    "reference_logps",
    "reference_point",
    "reference_samples",
    "statistics",
)
"""What the stage can compute for a loss."""


class Train(Stage):
    """Trains a model with a loss on feedback; the model is the stage's output."""

    produces: ClassVar[Product] = "model"

    from_: Annotated[StartRef | None, Default("previous")] = Field(
        default=None,
        alias="from",
        description="The model to start from: a stage's id, or `model`. The preceding train stage "
        "when left out, else the model of the spec.",
    )
    reference: Annotated[ModelRef | None, Default("from", when="needs_reference")] = Field(
        default=None,
        description="The model that the policy is compared with, frozen unless a "
        "`reference_update` is given; `from` when left out.",
    )
    data: LearnRef = Field(description="The feedback to learn from.")
    evaluate: dict[str, TestRef] = Field(
        default_factory=dict,
        description="Sets whose loss is measured without learning from them, by name.",
    )
    loss: Loss = Field(description="What an example of feedback costs the policy.")
    reference_point: Annotated[RefPointEstimator | None, Default("loss")] = Field(
        default=None,
        description="What rewards are compared with; the loss's own choice when left out.",
    )
    reference_update: Annotated[ReferenceUpdate | None, Added()] = Field(
        default=None,
        description="When the reference takes in the weights of the policy; never when left out. "
        "Evaluation compares with the reference of its step.",
    )
    samples: SamplesRef | None = Field(
        default=None,
        description="Samples of the reference, one for each prompt of the data, for a loss that is "
        "regularised on them: the id of a sample stage.",
    )
    batch_size: int = Field(
        default=32, ge=1, description="Examples per optimiser step, over all processes."
    )
    epochs: int | None = Field(
        default=None, ge=1, description="Passes over the data; 1 when `steps` is left out too."
    )
    steps: int | None = Field(default=None, ge=1, description="Optimiser steps, over all epochs.")
    learning_rate: float = Field(
        default=5e-7,
        gt=0,
        description="The rate after warm-up. The report's 5e-7 suits large pretrained models.",
    )
    optimizer: Annotated[str, AfterValidator(optimizer_name)] = Field(
        default="AdamW",
        description="An optimiser of torch, in any case: AdamW, RMSprop (the report's), SGD...",
    )
    optimizer_options: dict[str, float | bool | list[float]] = Field(
        default_factory=dict,
        description="Further options of the optimiser, for example {betas: [0.9, 0.95]}.",
    )
    weight_decay: float = Field(
        default=0.0,
        ge=0,
        description="The optimiser's weight decay; only for matrices, not for biases and norms.",
    )
    warmup_steps: int = Field(
        default=0, ge=0, description="Steps over which the rate rises linearly (150 in the report)."
    )
    schedule: Literal["constant", "linear", "cosine"] = Field(
        default="constant", description="What the rate does after warm-up; the last two fall to 0."
    )
    max_grad_norm: float | None = Field(
        default=10.0,
        gt=0,
        description="Longest gradient, as its 2-norm over all weights; longer ones are shortened "
        "(10 in the report). null never shortens.",
    )
    max_length: int | None = Field(
        default=None,
        ge=2,
        description="Most tokens of prompt and completion together; when left out 2048, or what "
        "the model can take if that is less.",
    )
    max_prompt_length: int | None = Field(
        default=None,
        ge=1,
        description="Most tokens of the prompt; half of max_length when left out.",
    )
    template: str | None = Field(
        default=None,
        description="Chat template: a name or Jinja; the tokenizer's own when left out.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="bfloat16 keeps trained weights in float32, computes in bfloat16 and holds "
        "frozen weights in bfloat16. auto is bfloat16 on a GPU that has it, else float32.",
    )
    lora: LoraOptions | None = Field(
        default=None, description="Train low-rank factors instead of all weights."
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Dropout rate in all places that have one."
    )
    deterministic: bool = Field(
        default=False,
        description="Only use kernels that repeat bit for bit on one GPU; slower there. On the "
        "CPU results repeat anyway.",
    )
    gradient_checkpointing: Annotated[bool, Execution()] = Field(
        default=False, description="Compute activations twice instead of keeping them: less memory."
    )
    micro_batch_tokens: Annotated[int, Execution()] = Field(
        default=4096, ge=1, description="Most tokens computed at a time by a process."
    )
    log_every: Annotated[int, Execution()] = Field(
        default=10, ge=1, description="Steps between logged metrics; the first step is logged too."
    )
    evaluate_every: Annotated[int | None, Execution()] = Field(
        default=None, ge=1, description="Steps between evaluations; at the end only when left out."
    )
    checkpoint_every: Annotated[int, Execution()] = Field(
        default=200, ge=1, description="Steps between checkpoints; an interrupt writes one too."
    )
    keep_last: Annotated[int, Execution()] = Field(
        default=1, ge=1, description="Latest checkpoints to keep."
    )
    keep_best: Annotated[int, Execution()] = Field(
        default=1,
        ge=0,
        description="Checkpoints to keep for the lowest loss on the first set of `evaluate`.",
    )
    processes: Annotated[int, Execution()] = Field(
        default=1, ge=1, description="Processes on this machine, usually one per GPU."
    )
    device: Annotated[Literal["auto", "cpu", "cuda"], Execution()] = Field(
        default="auto", description="Where to compute; auto is a GPU where there is one."
    )

    @property
    def needs_reference(self) -> bool:
        """Whether the loss, or the reference point it needs, compares with a reference model."""
        return bool({"reference_logps", "reference_point"} & set(self.loss.needed()))

    @property
    def reads(self) -> Feedback:
        """The kind of feedback it reads: pairs where the reference point is within them."""
        return "paired" if self._point_within_pairs else self.loss.resolved_feedback()

    @property
    def _point_within_pairs(self) -> bool:
        return self.reference_point is not None and self.reference_point.observes == "pair"

    def feedback_wanted(self) -> Mapping[str, Feedback]:
        """Returns the kind of feedback of the data and every evaluation set."""
        return dict.fromkeys(("data", "evaluate"), self.reads)

    def mistakes(self) -> Sequence[tuple[str, str]]:
        """Returns options that contradict each other, the loss or the optimiser."""
        return [*self._loss_mistakes(), *self._length_mistakes(), *self._other_mistakes()]

    def _loss_mistakes(self) -> Iterator[tuple[str, str]]:
        needs = set(self.loss.needed())
        for need in sorted(needs - set(PROVIDED)):
            yield "loss", f"needs {need!r}, which train cannot compute; it has {PROVIDED}"
        if self.loss.resolved_feedback() == "scored":
            yield "loss", "learns from scored feedback, which train cannot read yet"
        yield from self._reference_mistakes(needs)
        yield from self._update_mistakes()
        yield from self._control_mistakes()

    def _reference_mistakes(self, needs: set[Need]) -> Iterator[tuple[str, str]]:
        if self.reference_point is not None and "reference_point" not in needs:
            yield "reference_point", "the loss uses no reference point; leave it out"
        if self.reference is not None and not self.needs_reference:
            yield "reference", "the loss uses no reference model; leave it out"
        lacking = self.reference_point is None and not self.loss.resolved_reference_point()
        if "reference_point" in needs and lacking:
            yield "reference_point", "the loss needs one and has no default; name one"
        suits = self.loss.resolved_feedback() == "binary" and "reference_logps" in needs
        if self._point_within_pairs and not suits:
            yield (
                "reference_point",
                "takes the point from within pairs, for a loss on binary feedback that compares "
                "with a reference model, such as kto or prospect; this loss is none",
            )
        if "reference_samples" in needs and self.samples is None:
            yield (
                "samples",
                "the loss is regularised on samples of the reference: name a sample stage that "
                "answers every prompt of the data",
            )
        if self.samples is not None and "reference_samples" not in needs:
            yield "samples", "the loss uses no samples of the reference; leave it out"

    def _update_mistakes(self) -> Iterator[tuple[str, str]]:
        if self.reference_update is None:
            return
        if not self.needs_reference:
            yield "reference_update", "the loss uses no reference model; leave it out"
        shares = shares_of(self.reference_update, min(self.steps or TRIED, TRIED))
        if self.lora is not None and mixes_weights(shares):
            yield "reference_update", UNMIXABLE

    def _control_mistakes(self) -> Iterator[tuple[str, str]]:
        if control_tokens_of(self.loss) is None:
            return
        if self.reads == "paired":
            yield "loss", "puts a control token behind each prompt, which a pair shares"
        if self.lora is not None:
            yield (
                "lora",
                "leaves the embeddings as they are, so control tokens could not be learned; "
                "train all weights",
            )

    def _length_mistakes(self) -> Iterator[tuple[str, str]]:
        if self.epochs is not None and self.steps is not None:
            yield "steps", "epochs and steps are both given; give one of them"
        if self.steps is not None and self.warmup_steps > self.steps:
            yield "warmup_steps", f"{self.warmup_steps} is more than the {self.steps} steps"
        longest, prompt = self.max_length, self.max_prompt_length
        if longest is not None and prompt is not None and prompt >= longest:
            yield "max_prompt_length", f"{prompt} leaves no room in max_length {longest}"

    def _other_mistakes(self) -> Iterator[tuple[str, str]]:
        for message in unknown_options(self.optimizer, self.optimizer_options):
            yield "optimizer_options", message
        if self.evaluate_every is not None and not self.evaluate:
            yield "evaluate_every", "there is nothing to evaluate on; name sets under `evaluate`"

    def forecast(self, known: Known) -> Forecast:
        """Returns the memory that a device needs in each precision, and the time on a GPU."""
        if known.weights is None:
            return Forecast(size={"memory": "unknown: the model is not here yet"})
        return Forecast(weights=known.weights, size=self._size(known.weights, known.learned))

    def _size(self, parameters: int, rows: int | None) -> Mapping[str, str]:
        found = {"weights": f"{parameters / 1e6:.2f}M"}
        for precision in ("float32", "bfloat16"):
            held = training_gigabytes(
                parameters,
                optimizer=self.optimizer,
                reference=self.needs_reference,
                precision=precision,
                trained_share=0.0 if self.lora else 1.0,
                refreshed=self.reference_update is not None,
            )
            found[precision] = memory_line(held)
        steps = self.steps
        if steps is None and rows is not None:
            steps = (self.epochs or 1) * ceil(rows / self.batch_size)
        hours = gpu_hours(
            parameters,
            completions=self.batch_size * (2 if self.reads == "paired" else 1),
            steps=steps or PER_STEPS,
            reference=self.needs_reference,
            reference_point="reference_point" in self.loss.needed(),
            checkpointing=self.gradient_checkpointing,
        )
        return found | {GPU: gpu_hours_line(hours, steps)}

    def preflight(self, models: Mapping[str, ModelInput]) -> None:
        """Checks control tokens, and a reference that is to take in the policy's weights.

        Raises:
            ModelError: When a control token is in the vocabulary already, there is no tokenizer,
                or the reference is of another architecture.
        """
        if self.reference_update is not None and models["reference"] != models["from"]:
            from halo_trainer.train.reference_refresh import check_architectures

            check_architectures(models["from"], models["reference"])
        if (tokens := control_tokens_of(self.loss)) is not None:
            from halo_models.control_tokens import check_control_tokens
            from halo_models.load import load_tokenizer
            from halo_models.notes import read_notes

            source = models["from"]
            tokenizer = load_tokenizer(source, self.template)
            check_control_tokens(tokenizer, tokens, read_notes(source))

    def command(self, folder: Path) -> Sequence[str] | None:
        """Returns the command that starts the processes when there are several."""
        if self.processes == 1:
            return None
        # --multi_gpu starts plain torch ranks; those that find no GPU, or are told to use the
        # CPU, talk over gloo.
        return [
            *(sys.executable, "-m", "halo_trainer.launch", "--multi_gpu"),
            *("--num_processes", str(self.processes), "--num_machines", "1"),
            *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
            *("-m", "halo_core.worker", str(folder)),
        ]

    def run(self, context: StageContext) -> StageResult:
        """Trains, or goes on from the last checkpoint, and writes the model.

        Raises:
            UserError: When the data are empty or the model cannot be used.
            NotFiniteError: When a loss or gradient is not a number; no weight was changed by it.
            Interrupted: When asked to stop; a checkpoint was written.
        """
        from halo_trainer.train.loop import train

        return train(self, context)
