from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import DataError
from halo_core.rows import DataSet
from halo_trainer.encode.rows_to_tokens import EncodingOptions, encode


def test_cut_prompts_are_counted_and_too_small_a_limit_names_the_prompt(
    make_data: Callable[..., DataSet], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    rows = [
        {"prompt": [{"role": "user", "content": "moo " * 30}], "completion": "a"},
        {"prompt": [{"role": "user", "content": "moo"}], "completion": "a"},
    ]
    data = make_data("demonstration", rows)
    encoded = encode(data, tiny_tokenizer, options=EncodingOptions(40, 20), cache=tmp_path)
    assert encoded.truncated_prompts == 1
    assert len(encoded[0].completions[0].prompt_ids) <= 20
    with pytest.raises(DataError, match=r"^train: row train-0: max_prompt_length 3 leaves no"):
        encode(data, tiny_tokenizer, options=EncodingOptions(40, 3), cache=tmp_path)
