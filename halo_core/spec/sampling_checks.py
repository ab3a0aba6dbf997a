"""Warns if a loss takes the stored log-probabilities for those of another distribution."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import cast

from halo_core.guarded.stage_calls import draws_with_of
from halo_core.loss import Loss
from halo_core.sampling import OTHER_DISTRIBUTION, Sampling
from halo_core.spec.spec import Spec
from halo_core.spec.stage_feedback import stages_in
from halo_core.spec.stages import StageSpec


def sampling_warnings(spec: Spec, new: Collection[str] | None = None) -> list[str]:
    """Returns a warning for each stage that samples otherwise than a later loss assumes.

    A loss that needs `sampler_logps` divides by the probability with which a token was drawn. The
    stored log-probabilities are those of the model itself. So both are equal only if the tokens
    are drawn at temperature 1 from all tokens.

    Args:
        spec: A checked spec.
        new: Ids of the stages to warn about, which learn from the samples. By default all.

    Raises:
        PluginError: When a stage's `draws_with` raises, or returns something else.
    """
    stages = {stage.id: stage for stage in spec.stages}
    found: dict[str, None] = {}
    for stage in spec.stages:
        if (new is not None and stage.id not in new) or not _needs_sampler_logps(stage):
            continue
        for source in _samples_of(stage, stages):
            sampling = draws_with_of(source.component)
            if sampling is not None and not sampling.is_the_models_own:
                found[_warning(spec, stage, source, sampling)] = None  # once for all rounds
    return list(found)


def _needs_sampler_logps(stage: StageSpec) -> bool:
    loss = stage.loss
    return loss is not None and "sampler_logps" in cast(Loss, loss.component).needed()


def _samples_of(stage: StageSpec, stages: dict[str, StageSpec]) -> Iterator[StageSpec]:
    """Yields the stages whose samples are in the feedback that a stage learns from."""
    learned = [source for data in stage.learned.values() for source in data.sources]
    waiting = [id_ for source in learned for id_ in stages_in(source)]
    for id_ in waiting:  # It grows: feedback can be made of feedback.
        source = stages.get(id_)
        if source is None:
            continue
        if source.component.produces == "samples":
            yield source
        else:
            more = [*source.inputs.values(), *source.feedback_from]
            waiting += [name for name in more if name not in waiting]


def _warning(spec: Spec, stage: StageSpec, source: StageSpec, sampling: Sampling) -> str:
    document = spec.document
    learner, drawer = (str(document.as_given(("stages", s.id))[-1]) for s in (stage, source))
    loss = stage.loss.short_name if stage.loss is not None else ""
    return (
        f"{document.locate(('stages', source.id))}: {drawer!r} samples with {sampling}. The loss "
        f"{loss} of {learner!r} {OTHER_DISTRIBUTION}. Nothing corrects the difference: set "
        "temperature: 1, top_p: 1 and top_k: 0"
    )
