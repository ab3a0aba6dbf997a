"""The minimal core of halo: interfaces, spec, registry, runner and command line.

Names are imported when they are first used, so that the command line starts without pydantic.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halo_core.component import (
        Added,
        Component,
        DataRef,
        Default,
        Execution,
        LearnRef,
        Location,
        ModelRef,
        RivalRef,
        SamplesRef,
        StartRef,
        TestRef,
    )
    from halo_core.data import DataInfo, DataSource, Loaded
    from halo_core.errors import DataError, HaloError, ModelError, PathError, PluginError, UserError
    from halo_core.feedback import Feedback, prompt_id
    from halo_core.hooks import hookimpl
    from halo_core.judge import (
        Comparison,
        Judge,
        JudgeContext,
        JudgeSession,
        Quote,
        Verdict,
    )
    from halo_core.loss import (
        ClassCounts,
        Completions,
        Head,
        Loss,
        LossBatch,
        LossOutput,
        Settled,
    )
    from halo_core.loss_wrapper import LossWrapper
    from halo_core.reference_point import (
        Candidate,
        Estimate,
        Observed,
        Pair,
        PairingPlan,
        RefPointEstimator,
    )
    from halo_core.reference_update import ReferenceUpdate
    from halo_core.rows import DataSet
    from halo_core.scoring import Answer, Score, ScoringJudge, ScoringSession
    from halo_core.stage import Forecast, Known, ModelInput, Stage, StageContext, StageResult
    from halo_core.tracker import Report, Tracker, TrackerSession

_HOMES = {
    "component": [
        "Added",
        "Component",
        "DataRef",
        "Default",
        "Execution",
        "LearnRef",
        "Location",
        "ModelRef",
        "RivalRef",
        "SamplesRef",
        "StartRef",
        "TestRef",
    ],
    "data": ["DataInfo", "DataSource", "Loaded"],
    "errors": ["DataError", "HaloError", "ModelError", "PathError", "PluginError", "UserError"],
    "feedback": ["Feedback", "prompt_id"],
    "hooks": ["hookimpl"],
    "judge": ["Comparison", "Judge", "JudgeContext", "JudgeSession", "Quote", "Verdict"],
    "loss": [
        "ClassCounts",
        "Completions",
        "Head",
        "Loss",
        "LossBatch",
        "LossOutput",
        "Settled",
    ],
    "loss_wrapper": ["LossWrapper"],
    "reference_point": [
        "Candidate",
        "Estimate",
        "Observed",
        "Pair",
        "PairingPlan",
        "RefPointEstimator",
    ],
    "reference_update": ["ReferenceUpdate"],
    "rows": ["DataSet"],
    "scoring": ["Answer", "Score", "ScoringJudge", "ScoringSession"],
    "stage": ["Forecast", "Known", "ModelInput", "Stage", "StageContext", "StageResult"],
    "tracker": ["Report", "Tracker", "TrackerSession"],
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
_GONE = {
    "Controlled": "override Loss.control_tokens instead",
    "Counted": "override Loss.settle instead, which returns Settled(loss, remark, caution)",
    "Lagging": "set lagged = True on the RefPointEstimator instead",
    "ReportTaker": "override Tracker.take_report instead",
    "RunComparer": "override Tracker.compare_runs instead",
    "RunKeeper": "override Tracker.has_run instead",
    "Statistical": "override Loss.statistics instead",
    "SuiteTracker": "override Tracker.tell_suite instead",
    "ValueFunction": "override Loss.value instead; it returns None where a loss has none",
    "WithinPair": "set observes = 'pair' on the RefPointEstimator instead",
}
"""Names that earlier versions had, and what to do now."""

__version__ = "0.1.0"
__all__ = [
    "Added",
    "Answer",
    "Candidate",
    "ClassCounts",
    "Comparison",
    "Completions",
    "Component",
    "DataError",
    "DataInfo",
    "DataRef",
    "DataSet",
    "DataSource",
    "Default",
    "Estimate",
    "Execution",
    "Feedback",
    "Forecast",
    "HaloError",
    "Head",
    "Judge",
    "JudgeContext",
    "JudgeSession",
    "Known",
    "LearnRef",
    "Loaded",
    "Location",
    "Loss",
    "LossBatch",
    "LossOutput",
    "LossWrapper",
    "ModelError",
    "ModelInput",
    "ModelRef",
    "Observed",
    "Pair",
    "PairingPlan",
    "PathError",
    "PluginError",
    "Quote",
    "RefPointEstimator",
    "ReferenceUpdate",
    "Report",
    "RivalRef",
    "SamplesRef",
    "Score",
    "ScoringJudge",
    "ScoringSession",
    "Settled",
    "Stage",
    "StageContext",
    "StageResult",
    "StartRef",
    "TestRef",
    "Tracker",
    "TrackerSession",
    "UserError",
    "Verdict",
    "hookimpl",
    "prompt_id",
]


_GONE = {
    "ModelJudge": "open(context) of a Judge has context.models",
    "PaidJudge": "every Judge has quote(), and open(context) has context.shared",
    "compared_by_score": "subclass ScoringJudge, which compares by its scores itself",
}
"""Name that plugins imported before to what there is instead."""


def __getattr__(name: str) -> Any:
    if name in _GONE:
        raise ImportError(f"halo_core.{name} is gone: {_GONE[name]}")
    if name in _GONE:
        # No AttributeError: of that, `from halo_core import NAME` would not repeat the text.
        raise ImportError(f"halo_core.{name} is gone: {_GONE[name]}")
    if name not in _HOME:
        raise AttributeError(f"module 'halo_core' has no attribute {name!r}")
    return getattr(importlib.import_module(f"halo_core.{_HOME[name]}"), name)
