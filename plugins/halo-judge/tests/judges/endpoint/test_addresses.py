"""A text that is not a valid address is refused, and never shown: it may hold a password."""

import pytest
from pydantic import ValidationError

from halo_judge.judges.chat.options import GPT4
from halo_judge.judges.http.options import HttpJudge


@pytest.mark.parametrize(
    "address",
    [
        "http://ann:se/same@host:5000/v1",
        "http://ann:se same@host:5000/v1",
        "http://ann:sesame@host/v1",
        "http://sesame@host/v1",
        "ann:sesame@host/v1",
        "http://host/v1?key=sesame",
        "http://host:0/sesame",
        "http://host:99999/sesame",
        "http://host/\x1bsesame",
    ],
)
def test_an_address_with_a_password_or_a_wrong_port_is_refused_and_not_shown(address):
    for judge, option in ((GPT4, "base_url"), (HttpJudge, "url")):
        with pytest.raises(ValidationError) as caught:
            judge(**{option: address})
        (mistake,) = caught.value.errors()
        assert "sesame" not in mistake["msg"]
