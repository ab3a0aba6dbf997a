"""The stages follow the rules that the test kit checks for all stages."""

from halo_core.testing import check_stage
from halo_judge.judge_stage.options import JudgeStage
from halo_judge.judges.longest import Longest
from halo_judge.label_stage.options import Label


def test_judge_keeps_the_rules_of_a_stage(judge_context, make_sample):
    context = judge_context([make_sample(i, "longer text", "text") for i in range(3)])
    check_stage(JudgeStage(judge=Longest(), of="answers"), context)


def test_label_keeps_the_rules_of_a_stage(judge_context, make_sample):
    context = judge_context([make_sample(i, "text " * (i + 1), "text") for i in range(4)])
    options = {"feedback": "binary", "threshold": "median"}
    check_stage(Label(judge=Longest(), of="answers", **options), context)
