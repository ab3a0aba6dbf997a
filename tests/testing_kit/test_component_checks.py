import re
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from pydantic import ConfigDict, Field, field_serializer, model_validator

from halo_core import Component, Loss
from halo_core.supervised import run_supervised
from halo_core.testing import check_component, check_loss
from halo_core.testing.component import check_import_budget

LOSS = """
{imports}
from halo_core import Loss

class Heavy(Loss):
    feedback = "binary"
    needs = ("policy_logps",)

    def __call__(self, batch):
        return None
"""


@pytest.fixture(autouse=True)
def _new_interpreters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries imports as users do; the other tests try them in forks of one process."""
    monkeypatch.setattr("halo_core.testing.component.run_supervised", run_supervised)


def written_class(folder: Path, monkeypatch: pytest.MonkeyPatch, imports: str) -> type[Loss]:
    """A loss class from a module that starts with `imports`."""
    (folder / "written_loss.py").write_text(LOSS.format(imports=imports))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "written_loss", raising=False)
    import written_loss

    return written_loss.Heavy


class Thing(Component):
    """A kind of component of this test."""

    kind = "thing"


class Plain(Thing):
    size: int = Field(default=3, gt=0, description="Number of them.")
    tags: list[str] = Field(default=["a"], description="Kind of them.")


class Wrapper(Thing):
    inner: Thing = Field(description="Wrapped component.")
    others: list[Thing] = Field(default=[], description="More.")


def test_a_plain_component_passes() -> None:
    check_component(Plain(size=5))


def test_a_component_that_holds_components_passes() -> None:
    check_component(Wrapper(inner=Plain(size=7), others=[Plain(), Wrapper(inner=Plain())]))


def test_options_that_can_be_changed_are_found() -> None:
    class Thawed(Thing):
        model_config = ConfigDict(frozen=False)
        size: int = Field(default=3, description="Number of them.")

    with pytest.raises(AssertionError, match="option 'size' can be changed; expected"):
        check_component(Thawed())


def test_a_component_that_takes_unknown_options_is_found() -> None:
    class Lenient(Thing):
        model_config = ConfigDict(extra="ignore")

    with pytest.raises(AssertionError, match="it takes an unknown option; expected"):
        check_component(Lenient())


def test_requirements_that_are_none_are_found() -> None:
    class Needy(Thing):
        def needed_here(self) -> list[str]:  # type: ignore[override]
            return ["openai"]

    with pytest.raises(AssertionError, match=r"needed_here\(\) gave \['openai'\]; expected a list"):
        check_component(Needy())


def test_options_that_json_changes_are_found() -> None:
    class Rounded(Thing):
        share: float = Field(default=0.1234, description="Amount of it.")

        @field_serializer("share")
        def _short(self, share: float) -> float:
            return round(share, 2)

    with pytest.raises(AssertionError, match=r"options through JSON give another one: .*0\.12\)"):
        check_component(Rounded())


def test_options_that_json_cannot_give_back_are_found() -> None:
    class Picky(Thing):
        size: int = Field(default=3, description="Number of them.")

        @model_validator(mode="before")
        @classmethod
        def _none(cls, data: object) -> object:
            if data:
                raise ValueError("no options please")
            return data

    with pytest.raises(AssertionError, match=r"building it again .* raised ValidationError"):
        check_component(Picky())


def test_a_module_that_imports_a_heavy_library_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = written_class(tmp_path, monkeypatch, "import scipy, numpy")

    with pytest.raises(AssertionError, match="importing its module imports numpy, scipy; import"):
        check_import_budget(cls)


def test_a_process_that_an_import_starts_is_found_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep = f"[{sys.executable!r}, '-c', 'import time; time.sleep(60)']"
    imports = f"import subprocess\nCHILD = subprocess.Popen({sleep})"
    cls = written_class(tmp_path, monkeypatch, imports)
    child = sys.modules["written_loss"].CHILD  # This process imports it, too.
    child.kill()
    child.wait()
    begun = time.monotonic()
    with pytest.raises(AssertionError, match="importing its module starts the process"):
        check_import_budget(cls)
    assert time.monotonic() - begun < 30


def test_check_loss_begins_with_the_rules_of_every_component(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = written_class(tmp_path, monkeypatch, "import numpy")()

    with pytest.raises(AssertionError, match="importing its module imports numpy"):
        check_loss(loss)


def test_a_light_module_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_import_budget(written_class(tmp_path, monkeypatch, "import json"))


@pytest.mark.parametrize(
    ("first_s", "second_s", "slow_s"), [(5.0, 0.1, ""), (5.0, 3.0, "3.0"), (9.0, 0.1, "9.0")]
)
def test_an_import_is_slow_if_the_second_one_is_or_the_first_one_is_very_slow(
    first_s: float, second_s: float, slow_s: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    took = iter([first_s, second_s])
    told: dict[str, Any] = {"heavy": [], "does": [], "moving": []}
    monkeypatch.setattr(
        "halo_core.testing.component._told_of_import", lambda *_: told | {"took": next(took)}
    )
    cls = written_class(tmp_path, monkeypatch, "import json")
    message = f"importing its module takes {slow_s} s"
    with pytest.raises(AssertionError, match=message) if slow_s else nullcontext():
        check_import_budget(cls)


def test_a_module_that_cannot_be_imported_alone_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = written_class(tmp_path, monkeypatch, "")
    (tmp_path / "written_loss.py").write_text("import no_such_library")

    expected = r"its module cannot be imported alone:[\s\S]*No module named 'no_such_library'"
    with pytest.raises(AssertionError, match=expected):
        check_import_budget(cls)


def test_failures_name_the_component_and_its_options() -> None:
    class Lenient(Thing):
        model_config = ConfigDict(extra="ignore")
        size: int = Field(default=3, description="Number of them.")

    with pytest.raises(AssertionError, match=re.escape("Lenient(size=4): ")):
        check_component(Lenient(size=4))


def test_the_kit_is_imported_without_torch() -> None:
    probe = "import sys, halo_core.testing; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


def test_the_kit_exports_what_it_says() -> None:
    import halo_core.testing as kit

    # Constants, then classes, then functions, as the linter wants them.
    kinds = sorted(kit.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert kit.__all__ == kinds
    assert all(hasattr(kit, name) for name in kit.__all__)
