"""The minimal core of halo: interfaces, spec, registry, runner and command line.

Names are imported on their first use, so that the command line starts without pydantic.
"""

from __future__ import annotations

# Imports take long, and Ctrl-C still prints Python's traceback (see `halo_core.cli`).
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from halo_core.cache_entry import CacheEntry as CacheEntry
    from halo_core.component import Component as Component
    from halo_core.data import DataInfo as DataInfo, DataSource as DataSource, Loaded as Loaded
    from halo_core.devices import Devices as Devices
    from halo_core.errors import (
        DataError as DataError,
        HaloDeprecationWarning as HaloDeprecationWarning,
        HaloError as HaloError,
        ModelError as ModelError,
        PathError as PathError,
        PluginError as PluginError,
        UserError as UserError,
    )
    from halo_core.feedback import Feedback as Feedback, prompt_id as prompt_id
    from halo_core.finding import Finding as Finding, Requirement as Requirement
    from halo_core.fit import Change as Change, Fit as Fit
    from halo_core.hooks import hookimpl as hookimpl
    from halo_core.judge import (
        Comparison as Comparison,
        Judge as Judge,
        JudgeContext as JudgeContext,
        JudgeSession as JudgeSession,
        Quote as Quote,
        Verdict as Verdict,
    )
    from halo_core.loss import (
        ClassCounts as ClassCounts,
        Completions as Completions,
        Head as Head,
        Loss as Loss,
        LossBatch as LossBatch,
        LossOutput as LossOutput,
        Settled as Settled,
    )
    from halo_core.loss_wrapper import LossWrapper as LossWrapper
    from halo_core.option_markers import (
        Added as Added,
        DataRef as DataRef,
        Default as Default,
        Execution as Execution,
        LearnRef as LearnRef,
        Location as Location,
        ModelRef as ModelRef,
        OtherNames as OtherNames,
        RivalRef as RivalRef,
        SamplesRef as SamplesRef,
        StartRef as StartRef,
        TestRef as TestRef,
    )
    from halo_core.plugins.registrar import Registrar as Registrar
    from halo_core.reference_point import (
        Candidate as Candidate,
        Estimate as Estimate,
        Observed as Observed,
        Pair as Pair,
        PairingPlan as PairingPlan,
        RefPointEstimator as RefPointEstimator,
    )
    from halo_core.reference_update import ReferenceUpdate as ReferenceUpdate
    from halo_core.rows import DataSet as DataSet
    from halo_core.sampling import Sampling as Sampling
    from halo_core.scoring_judge import (
        Answer as Answer,
        Score as Score,
        ScoringJudge as ScoringJudge,
        ScoringSession as ScoringSession,
    )
    from halo_core.secret import Secret as Secret
    from halo_core.stage import (
        Forecast as Forecast,
        Inputs as Inputs,
        Known as Known,
        KnownModel as KnownModel,
        ModelInput as ModelInput,
        Stage as Stage,
        StageContext as StageContext,
        StageResult as StageResult,
        Work as Work,
    )
    from halo_core.tracker import (
        Report as Report,
        Tracker as Tracker,
        TrackerSession as TrackerSession,
    )

_PUBLIC = {
    "cache_entry": "CacheEntry",
    "component": "Component",
    "data": "DataInfo DataSource Loaded",
    "devices": "Devices",
    "errors": (
        "DataError HaloDeprecationWarning HaloError ModelError PathError PluginError UserError"
    ),
    "feedback": "Feedback prompt_id",
    "finding": "Finding Requirement",
    "fit": "Change Fit",
    "hooks": "hookimpl",
    "judge": "Comparison Judge JudgeContext JudgeSession Quote Verdict",
    "loss": "ClassCounts Loss Settled",
    "loss_batch": "Completions Head LossBatch LossOutput",
    "loss_wrapper": "LossWrapper",
    "option_markers": (
        "Added DataRef Default Execution LearnRef Location ModelRef OtherNames RivalRef SamplesRef "
        "StartRef TestRef"
    ),
    "plugins.registrar": "Registrar",
    "reference_point": "Candidate Estimate Observed Pair PairingPlan RefPointEstimator",
    "reference_update": "ReferenceUpdate",
    "rows": "DataSet",
    "sampling": "Sampling",
    "scoring_judge": "Answer Score ScoringJudge ScoringSession",
    "secret": "Secret",
    "stage": "Forecast Inputs Known KnownModel ModelInput Stage StageContext StageResult Work",
    "tracker": "Report Tracker TrackerSession",
}
"""The public names of each module. Type checkers read the imports above instead."""
_HOME = {name: home for home, names in _PUBLIC.items() for name in names.split()}
_GONE = {
    "Controlled": "override Loss.control_tokens instead",
    "Counted": "override Loss.settle instead, which returns Settled(loss, remark, caution)",
    "KnownSize": "override DataSource.about_rows instead",
    "Lagging": "set lagged = True on the RefPointEstimator instead",
    "ModelJudge": "open(context) of a Judge has context.models",
    "PaidJudge": "every Judge has quote(), and open(context) has context.shared",
    "ReportTaker": "override Tracker.take_report instead",
    "RunComparer": "override Tracker.compare_runs instead",
    "RunKeeper": "override Tracker.has_run instead",
    "Statistical": "override Loss.statistics instead",
    "SuiteTracker": "override Tracker.tell_suite instead",
    "ValueFunction": "override Loss.value instead; it returns None if a loss has none",
    "WithinPair": "set observes = 'pair' on the RefPointEstimator instead",
    "compared_by_score": "subclass ScoringJudge, which compares by its scores itself",
}
"""Names of earlier versions, with advice on what to use now."""
_DEPRECATED: dict[str, tuple[str, str, str]] = {}
"""Deprecated names: the public name to use instead, and the minor versions that deprecate and
remove them, which are at least two apart. tests/fixtures/public-names-*.json says which names
were promised."""

__version__ = "0.2.0"
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _GONE:
        # Not an AttributeError: `from halo_core import NAME` would not show its text.
        raise ImportError(f"halo_core.{name} was removed: {_GONE[name]}")
    if name in _DEPRECATED:
        deprecation = _module("deprecation")
        successor = deprecation.Successor(*_DEPRECATED[name])
        deprecation.warn_of_name("halo_core", name, successor)
        return __getattr__(successor.name)
    if name not in _HOME:
        raise AttributeError(f"module 'halo_core' has no attribute {name!r}")
    return getattr(_module(_HOME[name]), name)


def _module(name: str) -> Any:
    import importlib

    return importlib.import_module(f"halo_core.{name}")


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})
