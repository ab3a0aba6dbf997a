import json
from pathlib import Path

import pytest

from halo_core.cli import call

MINE = """\
from pydantic import Field

from halo_core import Loss


class Hinge(Loss):
    '''A loss of a third party.'''

    feedback = "paired"
    needs = ("policy_logps",)
    margin: float = Field(default=1.0, gt=0, description="From where nothing more is gained.")

    def __call__(self, batch):
        raise NotImplementedError

    def value(self, gain):
        return min(0.0, gain - self.margin)


class Bare(Loss):
    '''Declares no value function; an option of that name is none.'''

    feedback = "paired"
    needs = ("policy_logps",)
    value_: float = Field(default=1.0, alias="value", description="Not a function.")

    def __call__(self, batch):
        raise NotImplementedError


class Torn(Loss):
    '''Breaks the interface.'''

    feedback = "paired"
    needs = ("policy_logps",)

    def __call__(self, batch):
        raise NotImplementedError

    def value(self, gain):
        return "much"
"""


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


@pytest.fixture
def inspect(tmp_path, capsys):
    def run(*arguments):
        code = call(["inspect", *arguments, "--workspace", str(tmp_path / "workspace"), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def holds(loss):
    return [quality["holds"] for quality in loss["qualities"].values()]


@pytest.mark.usefixtures("drawn")
def test_built_in_losses_are_checked_and_drawn(inspect, tmp_path):
    code, found = inspect("kto", "dpo")
    assert code == 0
    assert [loss["name"] for loss in found["losses"]] == ["kto", "dpo"]
    assert [holds(loss) for loss in found["losses"]] == [
        ["yes", "yes", "no"],
        ["partly", "partly", "yes"],
    ]
    assert [(y["label"], holds(y)) for y in found["yardsticks"]] == [
        ("Kahneman-Tversky", ["yes", "yes", "yes"])
    ]
    assert found["file"] == str(tmp_path / "workspace" / "value-functions.svg")
    assert Path(found["file"]).read_text().startswith("<?xml")


def test_kto_s_own_is_a_yardstick_where_kto_is_not_named(inspect):
    _, found = inspect("dpo")
    assert [y["label"] for y in found["yardsticks"]] == ["Kahneman-Tversky", "KTO's sigmoid"]


@pytest.mark.parametrize(
    ("ending", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?")]
)
@pytest.mark.usefixtures("drawn")
def test_the_figure_s_format_is_that_of_its_name(inspect, tmp_path, ending, magic):
    path = tmp_path / "made" / f"values.{ending}"
    assert inspect("kto", "--out", str(path))[0] == 0
    assert path.read_bytes().startswith(magic)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_third_party_s_loss_is_checked_with_its_options(inspect, mine):
    _, found = inspect(f"file:{mine}:Hinge", "--set", "Hinge.margin=0.5")
    (loss,) = found["losses"]
    assert loss["label"] == "Hinge (margin 0.5)"
    assert loss["options"] == {"margin": 0.5}
    assert loss["qualities"]["reference_point"]["why"] == (
        "the slope changes at a gain of 0.5, not at 0"
    )


def test_one_loss_can_be_compared_with_itself(inspect):
    _, found = inspect("dpo", "{use: dpo, label_smoothing: 0.1}")
    assert [loss["label"] for loss in found["losses"]] == ["dpo", "dpo (label_smoothing 0.1)"]
    assert found["losses"][0]["gradient"] != found["losses"][1]["gradient"]


def test_a_loss_without_a_value_function_is_listed_as_declaring_none(inspect, mine, capsys):
    code, found = inspect("kto", "sft", f"file:{mine}:Bare")
    assert code == 0
    assert [loss["declares_value"] for loss in found["losses"]] == [True, False, False]
    assert call(["inspect", "kto", "sft", "--out", str(mine.with_name("v.svg"))]) == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("sft")]
    assert line.split()[1:] == ["-", "declares", "no", "value", "-", "-"]


def test_only_losses_without_a_value_function_are_an_error(inspect):
    code, found = inspect("sft")
    assert code == 2
    assert found["error"]["message"] == (
        "no value function: sft declares none. Name a loss with a method "
        "value(self, gain: float) -> float, such as kto"
    )


def test_every_misspelt_name_and_option_is_told(inspect):
    code, found = inspect("kt0", "dpo", "--set", "dpo.betta=1", "--set", "kto.beta=1")
    assert code == 2
    messages = [error["message"] for error in found["errors"]]
    assert messages[0] == "expected LOSS.OPTION=VALUE with a loss of this call: kt0, dpo"
    assert messages[1].startswith("no loss named 'kt0'. Did you mean 'kto'?")
    assert messages[2].startswith("unknown option 'betta'. Did you mean 'beta'?")


def test_an_option_s_constraint_is_checked(inspect):
    code, found = inspect("kto", "--set", "kto.beta=-1")
    assert code == 2
    assert found["errors"][0]["message"] == "got -1; expected a number above 0"


def test_an_ending_that_is_no_figure_s_is_an_error(inspect):
    code, found = inspect("kto", "--out", "values.gif")
    assert code == 2
    assert found["error"]["message"] == (
        "got 'values.gif'; expected a name that ends in .svg, .png, .pdf"
    )


def test_a_value_function_that_returns_no_number_names_its_loss(inspect, mine):
    code, found = inspect(f"file:{mine}:Torn")
    assert code == 3
    assert found["error"]["location"] == "the loss Torn"
    assert found["error"]["message"] == "value(-4) returned 'much'; expected a float"


def test_people_are_told_qualities_reasons_and_saturation(mine, capsys):
    out = str(mine.with_name("v.svg"))
    assert call(["inspect", "kto", f"file:{mine}:Hinge", "--out", out, "--span", "5"]) == 0
    told = capsys.readouterr().out
    for text in (
        "loss aversion: no, gains and losses of the same size weigh the same",
        "diminishing sensitivity: partly, concave in gains, linear in losses",
        "gains > 3.6",
        "Checked for gains from -5 to 5, in reward units.",
        f"figure: {out}",
    ):
        assert text in told, text
