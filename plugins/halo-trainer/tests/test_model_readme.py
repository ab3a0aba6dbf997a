from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from halo_trainer.model.lora_options import LoraOptions
from halo_trainer.sample.options import Sample
from halo_trainer.scratch.options import Scratch
from halo_trainer.train.options import Train

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.parametrize("options", [Train, Sample, Scratch, LoraOptions])
def test_readme_has_every_option_with_its_description(options: type[BaseModel]) -> None:
    text = README.read_text()
    for name, field in options.model_fields.items():
        assert f"| `{field.alias or name}` | " in text
        assert f" | {field.description} |" in text
