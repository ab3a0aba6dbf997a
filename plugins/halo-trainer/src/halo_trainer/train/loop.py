"""The training loop: batch, gradient and step; then logging, evaluation and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import TypeVar

import torch

from halo_core.errors import DiskError, NotFiniteError
from halo_core.stage import StageContext
from halo_trainer.batch.batch_plan import BatchPositions
from halo_trainer.batch.micro_batch import GlobalBatch
from halo_trainer.encode.examples import EncodedExample
from halo_trainer.model.probe import probe_row
from halo_trainer.train.checkpoints.saving import Saving
from halo_trainer.train.checkpoints.search import find_whole
from halo_trainer.train.checkpoints.train_state import TrainState
from halo_trainer.train.computation import how_it_computes
from halo_trainer.train.evaluate import evaluate_set
from halo_trainer.train.learning_rate import LearningRate
from halo_trainer.train.metrics import Metrics, Sources, Stopwatch, Sums, means, total
from halo_trainer.train.objective import Objective
from halo_trainer.train.optimizers import update_weights
from halo_trainer.train.out_of_memory import (
    ExampleOutOfMemory,
    WithinMemory,
)
from halo_trainer.train.policy_check import LONGEST, PolicyCheck
from halo_trainer.train.prepare import prepare
from halo_trainer.train.recipe import Intervals
from halo_trainer.train.room import check_room_for_all, check_room_for_model, should_keep_last
from halo_trainer.train.setup import Training
from halo_trainer.train.shown_facts import ShownFacts
from halo_trainer.train.step import Gradient, backward
from halo_trainer.train.token_budget import (
    Option,
    budget_that_fits,
    first_budget,
    size_of,
)

Result = TypeVar("Result")


class Loop:
    """One training and its progress."""

    def __init__(
        self,
        training: Training,
        context: StageContext,
        intervals: Intervals,
        learning_rate: LearningRate,
        max_grad_norm: float | None,
        *,
        exports_best: bool,
        in_background: bool,
        micro_batch_tokens: Option,
    ) -> None:
        self.training = training
        self.context = context
        self.intervals = intervals
        self.learning_rate = learning_rate
        self.max_grad_norm = max_grad_norm
        self.ranks = training.objective.ranks
        self.saving = Saving(training, context, in_background=in_background)
        self.state = self._restore(exports_best)
        budget = first_budget(
            micro_batch_tokens, self.state.budget, done=self.state.step, find=self._find_budget
        )
        context.note(how_it_computes(training.policy, training.objective))
        context.note(f"micro-batches of at most {budget.tokens:,} tokens")
        self.memory = WithinMemory(self.ranks, training.parameters, budget, context.warn)
        # The sums of all processes were stored as one. Rank 0 continues them.
        self.window = Metrics(self.state.window if self.ranks.main else None)
        self.watch = Stopwatch(self.ranks.device)
        self.saved_at = time.monotonic()
        self.facts = ShownFacts(self.watch, self.ranks.device)
        self.sources = Sources(training.objective.loss, training.estimator)
        longest = min(LONGEST, training.objective.max_length)
        row = probe_row(training.start.model, longest)
        self.check = PolicyCheck(training.policy, training.parameters, row)

    def _restore(self, exports_best: bool) -> TrainState:
        training = self.training
        checkpoints, refresh = training.checkpoints, training.refresh
        # Rank 0 decides, so that all processes continue from the same step.
        scores = self.ranks.from_main(
            lambda: find_whole(
                checkpoints.folder,
                self.context.warn,
                with_reference=refresh is not None,
                exports_best=exports_best,
            )
        )
        with self.context.progress.phase("reading the last checkpoint"):
            state = checkpoints.restore(scores, training.parameters, training.optimizer, refresh)
        self._tell_other_number(state)
        return state

    def _tell_other_number(self, state: TrainState) -> None:
        """Warns if another number of processes continues, because the numbers then differ."""
        if state.step == 0 or state.processes in (None, self.ranks.world):
            return
        drawn = " Dropout draws other numbers: each process has random numbers of its own."
        self.context.warn(
            f"step {state.step} was computed by {_processes(state.processes)}, and "
            f"{_processes(self.ranks.world)} will continue. Data and learning rates are the same; "
            f"gradients are equal up to rounding.{drawn if self.training.objective.dropout else ''}"
        )

    def _find_budget(self) -> int:
        training = self.training
        with self.context.progress.phase("measuring how many tokens fit into memory"):
            return budget_that_fits(
                training.objective,
                training.parameters,
                training.optimizer,
                training.data,
                training.plan.batch_size,
            )

    @property
    def _objective(self) -> Objective:
        """The objective with the token budget of now."""
        tokens = self.memory.budget.tokens
        return replace(self.training.objective, micro_batch_tokens=tokens)

    def _within_memory(
        self, where: str, work: Callable[[], Result], examples: Iterable[EncodedExample]
    ) -> Result:
        """Returns the result of work on examples, which is repeated until it fits into memory."""
        objective = self.training.objective
        try:
            return self.memory.run(
                where,
                work,
                longest=lambda: max(size_of(objective, example) for example in examples),
                kept=lambda: max(self.training.checkpoints.scores, default=None),
            )
        except ExampleOutOfMemory:
            if self.state.step > 0:
                self._save_before_error()
            raise

    def run(self) -> None:
        """Does the remaining steps."""
        steps, state = self.training.steps, self.state
        first = state.step + 1
        try:
            with self.context.progress.bar(self.context.id, steps, state.step, unit="step") as bar:
                while state.step < steps:
                    gradient = self._first_step() if state.step + 1 == first else self._step()
                    self._after_step(gradient)
                    bar.advance(1, facts=self.facts)
        except BaseException:
            self.saving.give_up()
            raise
        self.saving.finish()

    def _first_step(self) -> Gradient:
        with self.context.progress.phase("first step, which prepares the device"):
            gradient = self._step()
            where = self.context.folder, self.intervals
            self.ranks.from_main(lambda: check_room_for_all(self.training, self.state, *where))
        return gradient

    def _step(self) -> Gradient:
        training, state = self.training, self.state
        step = state.step + 1
        # The whole step uses one reference, and so does the evaluation after it.
        if training.refresh is not None:
            training.refresh.before(step)
        positions = training.plan.batch(step)
        try:
            batch, gradient = self._within_memory(
                f"step {step}",
                lambda: self._gradient(positions),
                [training.data[i] for i in positions.indices],
            )
        except NotFiniteError as error:
            fault = self._fault(gradient=True)
            if fault is not None:
                # If the gradient was not checked, a bad state may have been saved.
                self.saving.drop(state.step)
            elif state.step > 0:
                self._save_before_error()
            raise self._at_step(step, fault or str(error)) from error
        update_weights(training.optimizer, self._rate(step))
        self._count(batch, gradient)
        return gradient

    def _gradient(self, positions: BatchPositions) -> tuple[GlobalBatch, Gradient]:
        """Returns the batch of a step, and its gradient. It can be repeated."""
        training, step, objective = self.training, positions.step, self._objective
        # This is before all computation, so that a repeated step draws the same numbers.
        seed_step(self.context.seed, step, self.ranks.rank)
        batch = prepare(
            objective,
            training.estimator,
            training.data,
            positions,
            training.plan.rng(step, "pairs"),
            self.state.estimator,
        )
        gradient = backward(
            objective,
            batch,
            [parameter for _, parameter in training.parameters],
            # A checkpoint that was not written stops all processes together.
            stop=self.context.stop.is_set() or self.saving.failed,
            max_norm=self.max_grad_norm,
            keep=self._minutes_are_over,
        )
        return batch, gradient

    def _fault(self, *, gradient: bool = False) -> str | None:
        """Returns the fault of the policy after the steps so far, alike on each process."""
        if self.state.step == 0:
            return None
        with self.ranks.aside(self.training.objective.policy):
            found = self.check.fault(self._rate(self.state.step), gradient=gradient)
        faults = self.ranks.gather(found)
        return next((fault for fault in faults if fault is not None), None)

    def _at_step(self, step: int, message: str) -> NotFiniteError:
        return NotFiniteError(f"step {step}: {message}", location=self.context.id)

    def _rate(self, step: int) -> float:
        return self.learning_rate.at(step, self.training.steps)

    def _count(self, batch: GlobalBatch, gradient: Gradient) -> None:
        """Adds a finished step to the state and the metrics."""
        state = self.state
        state.step += 1
        state.score = None
        state.tokens += batch.tokens
        if gradient.estimate is not None:
            state.estimator = dict(gradient.estimate.state)
            self.sources.take(gradient.estimate)
        self.window.merge(gradient.metrics)
        if self.ranks.main:
            feedback = self.training.objective.loss.resolved_feedback()
            self.window.add_batch(feedback, batch, gradient.estimate)
            self.window.add("train/grad_norm", gradient.norm, 1)
        if self.training.store is not None:
            self.training.store.count_step(self.window)
        self.watch.count(batch.tokens)
        self.facts.count(gradient)

    def _after_step(self, gradient: Gradient) -> None:
        """Logs, evaluates and saves if it is due, and stops if asked to."""
        step, last = self.state.step, self.training.steps
        self.saving.report()
        if gradient.stop:
            self.saving.finish()
        if step == 1 or step % self.intervals.log == 0 or step == last:
            self._log()
        # Time for evaluation and checkpoints must not count as training time.
        with self.watch.paused():
            keep = gradient.keep or (gradient.stop and step < last)
            self._measure_and_keep(keep=keep)
        if gradient.stop and step < last:
            self.saving.finish()
            self.context.stop.raise_interrupted(
                f"step {step} of {last} is kept; run the same command again to continue from there"
            )

    def _measure_and_keep(self, *, keep: bool) -> None:
        step, every = self.state.step, self.intervals.evaluate
        measured = step == self.training.steps or (every is not None and step % every == 0)
        kept = keep or step % self.intervals.checkpoint == 0
        if (measured or kept) and (fault := self._fault()):
            raise self._at_step(step, fault)
        if measured:
            self._evaluate()
        best = self.training.checkpoints.is_best(self.state.score)
        if best or kept:
            self._save(best=best)

    def _minutes_are_over(self) -> bool:
        """Returns whether the last checkpoint is too old by the clock of rank 0."""
        most = self.intervals.checkpoint_minutes
        # The sum over the processes in each step tells the others.
        return (
            most is not None and self.ranks.main and time.monotonic() - self.saved_at >= 60 * most
        )

    def _log(self) -> None:
        metrics = means(self._window())
        self.window = Metrics()
        metrics["train/lr"] = self._rate(self.state.step)
        metrics["perf/micro_batch_tokens"] = float(self.memory.budget.tokens)
        metrics["train/examples"] = float(self.training.plan.examples_seen(self.state.step))
        if self.training.refresh is not None:
            metrics["reference/age_steps"] = self.training.refresh.age
        if self.training.store is not None:
            metrics |= self.training.store.report()
        if self.state.first_loss is None:
            self.state.first_loss = metrics.get("train/loss")
        self.facts.logged(metrics.get("train/loss"))
        self._publish(metrics | self.watch.lap())

    def _window(self) -> Sums:
        """Returns the sums since the last log, over all processes.

        Raises:
            NotFiniteError: When a sum is not finite. The error names the component.
        """
        sums = total(self.ranks.gather(self.window.sums()))
        if wrong := self.sources.fault(sums):
            raise self._at_step(self.state.step, wrong)
        return sums

    def _evaluate(self) -> None:
        for name, data in self.training.evaluation.items():
            try:
                values = self._within_memory(
                    f"evaluation of {name!r} at step {self.state.step}",
                    partial(self._values, data),
                    data,
                )
            except NotFiniteError as error:
                raise self._at_step(self.state.step, f"evaluate.{name}: {error}") from error
            self._publish({f"eval/{name}/{metric}": value for metric, value in values.items()})
            if self.state.score is None:
                self.state.score = values.get("loss")

    def _values(self, data: Sequence[EncodedExample]) -> dict[str, float]:
        with self.context.progress.phase("evaluating", len(data), unit="example") as bar:
            return evaluate_set(
                self._objective,
                self.training.estimator,
                data,
                batch_size=self.training.plan.batch_size,
                seed=self.context.seed,
                state=self.state.estimator,
                evaluated=bar.advance,
            )

    def _publish(self, metrics: dict[str, float]) -> None:
        self.state.last |= metrics
        self.context.events.append(
            "metrics",
            stage=self.context.id,
            step=self.state.step,
            metrics=metrics,
            examples=self.training.plan.examples_seen(self.state.step),
        )

    def see_to_room_for_model(self) -> None:
        """Saves the last step before the model is written if room is scarce, so it is not lost.

        Raises:
            DiskError: When there is too little room for the model.
        """
        training, state, folder = self.training, self.state, self.context.folder
        if self.ranks.from_main(lambda: should_keep_last(training, state, folder)):
            self._save()
            self.saving.finish()
        self.ranks.from_main(lambda: check_room_for_model(training, folder))

    def _save_before_error(self) -> None:
        """Saves the state before an error, which matters more than one that is raised here."""
        try:
            if self.state.step not in self.training.checkpoints.scores:
                self._save()
            self.saving.finish()
        except NotFiniteError:
            return
        except DiskError as error:
            self.context.warn(str(error))

    def _save(self, *, best: bool = False) -> None:
        # Summed over the processes, so that a different number of processes can continue.
        self.state.window = self._window()
        self.window = Metrics(self.state.window if self.ranks.main else None)
        self.state.budget = self.memory.budget
        with self.context.progress.phase("saving a checkpoint"):
            self.saving.save(self.state, best=best)
        self.saved_at = time.monotonic()


def _processes(count: int | None) -> str:
    return "1 process" if count == 1 else f"{count} processes"


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seeds torch for a step from the seed, the step and the rank, so that no state is stored."""
    torch.manual_seed(int.from_bytes(sha256(f"{seed}:{step}:{rank}".encode()).digest()[:8]))
