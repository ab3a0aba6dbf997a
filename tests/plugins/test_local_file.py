"""Messages about a component in a file: what is missing there, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from halo_core.errors import PluginError
from halo_core.plugins.local_file import class_in_file

LOSS = """
from halo_core import Loss
class Soft(Loss):
    feedback, needs = {feedback!r}, ("policy_logps",)
    def __call__(self, batch): ...
"""


def message_of(folder: Path, text: str, name: str = "Soft") -> str:
    file = folder / "mine.py"
    file.write_text(text)
    with pytest.raises(PluginError) as caught:
        class_in_file(f"file:{file}:{name}")
    return caught.value.message


@pytest.mark.parametrize("line", ["import near", "from near import x", "from .near import x"])
def test_a_file_that_imports_one_next_to_it_says_that_it_cannot(tmp_path: Path, line: str) -> None:
    (tmp_path / "near.py").write_text("x = 1\n")
    assert message_of(tmp_path, line + LOSS.format(feedback="paired")).endswith(
        ". A class in a file cannot import other files next to it: write all in one file, or a "
        "package, which halo new plugin begins"
    )


def test_a_package_that_a_file_imports_is_to_be_installed(tmp_path: Path) -> None:
    assert message_of(tmp_path, "import acme_no.part\n").endswith(
        "No module named 'acme_no'. The package acme_no is missing: pip install acme_no"
    )


def test_a_class_with_a_mistake_has_the_name_that_its_file_gives(tmp_path: Path) -> None:
    assert message_of(tmp_path, LOSS.format(feedback="pairs")).startswith(
        "class Soft: there is no feedback 'pairs'. Did you mean 'paired'? Expected one of text, "
    )


def test_a_misspelt_class_is_answered_with_one_of_the_file(tmp_path: Path) -> None:
    text = LOSS.format(feedback="paired")
    assert message_of(tmp_path, text, "Sofd") == "mine.py has no 'Sofd'. Did you mean 'Soft'?"
    assert message_of(tmp_path, text, "Los") == "mine.py has no 'Los'"  # Loss is not its own.
