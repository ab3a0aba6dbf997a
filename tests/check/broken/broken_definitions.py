"""Sources of components that break a rule by being imported, with words of the message.

halo refuses such a class when Python defines it, so it cannot be a class of a test.
"""

from __future__ import annotations

HEAD = """
from typing import ClassVar
from pydantic import Field
from halo_core import Loss, LossOutput, RefPointEstimator, Stage, StageResult
"""

LOSS = """
class Mine({base}):
    "A loss."
    feedback: ClassVar = "binary"
    needs: ClassVar = ("policy_logps",)
    {more}

    def __call__(self, batch):
        return LossOutput(-batch.policy_logps)
"""

STAGE = """
class Mine(Stage):
    "A stage."
    produces: ClassVar = "{product}"
    {more}

    def run(self, context):
        return StageResult()
"""

DEFINITIONS = {
    "an option named value": (
        LOSS.format(base="Loss", more='value: float = Field(1.0, gt=0, description="A value.")'),
        "option 'value' shadows a member of Loss",
    ),
    "an option without a description": (
        LOSS.format(base="Loss", more="beta: float = Field(0.1, gt=0)"),
        "option 'beta' has no description",
    ),
    "a misspelt method": (
        LOSS.format(base="Loss", more="def unchecked_rule(self): return {}"),
        "Did you mean unchecked_rules()?",
    ),
    "reasons in place of a method": (
        LOSS.format(base="Loss", more='unchecked_rules: ClassVar = {"gradient": "it is constant"}'),
        "unchecked_rules is a dict; expected a method, def unchecked_rules(self, ...), which",
    ),
    "inputs in place of a method": (
        LOSS.format(base="Loss", more='needed: ClassVar = ("policy_logps",)'),
        "needed is a tuple; expected a method, def needed(self, ...), which returns the value",
    ),
    "a loss without needs": (
        LOSS.replace('needs: ClassVar = ("policy_logps",)', "pass").format(base="Loss", more=""),
        "class Mine: the class variable 'needs' is missing; help(halo_core.Loss) describes it",
    ),
    "a kind of feedback that does not exist": (
        LOSS.replace('"binary"', '"pairs"').format(base="Loss", more=""),
        "there is no feedback 'pairs'. Did you mean 'paired'?",
    ),
    "a version that is a text": (
        LOSS.format(base="Loss", more='results_version: ClassVar = "2"'),
        "results_version is '2'",
    ),
    "a method that is missing": (
        LOSS.replace("def __call__", "def call").format(base="Loss", more=""),
        "it does not define __call__(); help(halo_core.Loss) describes this",
    ),
    "an unknown product": (
        STAGE.format(product="table", more=""),
        "produces is 'table'; expected one of model",
    ),
    "a method that is no longer called": (
        STAGE.format(product="model", more="def outlook(self, known): return {}"),
        "outlook() of a stage is no longer called",
    ),
    "a typing mistake in an import": (
        "import halo_cor\n",
        "No module named 'halo_cor'",
    ),
    "an error while it is imported": (
        "1 / 0\n",
        "ZeroDivisionError: division by zero",
    ),
    "the end of the process while it is imported": (
        "raise SystemExit(0)\n",
        "SystemExit",
    ),
}
"""Sources and words of their messages, by what is wrong with them."""
