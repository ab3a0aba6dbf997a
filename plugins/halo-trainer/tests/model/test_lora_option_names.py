"""Unknown options inside `lora:` are reported with LoRA's options and with peft's names."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from peft import LoraConfig

from halo_core.errors import SpecErrors
from halo_core.plugins.discovery import discover
from halo_core.spec.document import parse_document
from halo_core.spec.spec import check_spec
from halo_trainer.model.lora_options import PEFT, LoraOptions

SPEC = """\
name: s
model: {{hub: a/b}}
data: {{train: {{use: toy}}}}
stages:
  sft:
    use: train
    loss: sft
    data: train
    lora: {lora}
"""
KNOWN = "Known: alpha, dropout, rank, targets, train_tokens"


def mistakes(lora: str) -> list[str]:
    document = parse_document(SPEC.format(lora=lora), name="s.yaml", folder=Path("/specs"))
    with pytest.raises(SpecErrors) as caught:
        check_spec(document, discover())
    return [str(error) for error in caught.value.errors]


@pytest.mark.parametrize(
    ("lora", "expected"),
    [
        ("{r: 8}", f"r: unknown option 'r'. peft's 'r' is called 'rank' here. {KNOWN}"),
        ("{lora_alpha: 8}", "peft's 'lora_alpha' is called 'alpha' here."),
        ("{lora_dropout: 0.1}", "peft's 'lora_dropout' is called 'dropout' here."),
        ("{target_modules: [q]}", "peft's 'target_modules' is called 'targets' here."),
        (
            "{modules_to_save: [lm_head]}",
            "unknown option 'modules_to_save'. It is an option of peft: train_tokens trains rows "
            f"of the embeddings; to train whole layers, leave out lora. {KNOWN}",
        ),
        ("{task_type: CAUSAL_LM}", "It is an option of peft: leave it out; halo sets it."),
        ("{use_dora: true}", "It is an option of peft: leave it out; halo has no such option."),
        ("{rnak: 8}", f"rnak: unknown option 'rnak'. Did you mean 'rank'? {KNOWN}"),
    ],
)
def test_an_unknown_option_of_lora_is_reported_with_what_to_write(lora: str, expected: str) -> None:
    (found,) = mistakes(lora)
    assert found.startswith("s.yaml:9:12: stages.sft.lora.")
    assert expected in found


def test_each_unknown_option_of_lora_is_reported() -> None:
    assert len(mistakes("{r: 8, lora_alpha: 16, rank: 0}")) == 3


def test_every_name_of_the_installed_peft_is_known() -> None:
    names = {field.name for field in dataclasses.fields(LoraConfig)}
    assert names - {*PEFT.renamed, *PEFT.advice} == set()
    assert set(PEFT.renamed.values()) <= set(LoraOptions.model_fields)
    assert not {*PEFT.renamed, *PEFT.advice} & set(LoraOptions.model_fields)
