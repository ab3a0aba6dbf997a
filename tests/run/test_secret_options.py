"""An option of a plugin that is a secret is used, and is in no file and no output."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import BaseModel, Field, SecretStr, create_model

from halo_core import DataSource, PluginError, Secret, Stage, UserError
from halo_core.known_secrets import forms_of, hide_known, known_secrets
from halo_core.plugins.describe import options_of

Halo = Callable[..., Any]
CANARY = "c4n&ry/=of the+service"
PLUGIN = '''
import base64
from urllib.parse import quote

from pydantic import BaseModel, Field

from halo_core import DataInfo, DataSource, Loaded, Secret, Stage, StageResult


class Account(BaseModel):
    user: str = Field(description="the user")
    password: Secret = Field(description="the password")


class Rows(DataSource):
    token: Secret = Field(description="the token of the service")

    def inspect(self):
        return DataInfo("text", ("train",), "1")

    def load(self, split):
        assert self.token.reveal() == "c4n&ry/=of the+service"
        return Loaded([{"text": "a row"}])


class Ask(Stage):
    """Uses its key, and is careless with it."""

    produces = "samples"
    key: Secret = Field(description="the key of the service")
    account: Account | None = Field(default=None, description="an account")
    more: dict[str, Secret] = Field(default_factory=dict, description="further keys")
    fail: bool = Field(default=False, description="whether it fails")

    def run(self, context):
        key = self.key.reveal()
        encoded = base64.b64encode(f"user:{key}".encode()).decode()
        middle = len(key) // 2
        for text in (key, quote(key, safe=""), encoded, key[:middle] + "\\n" + key[middle:]):
            context.warn(f"the service refused <{text}>")
        (context.folder / "used.txt").write_text(str(len(key)))
        (context.folder / "samples.jsonl").write_text(
            '{"prompt_id": "1", "prompt": "p", "completion": "c", "target": "t"}\\n'
        )
        if self.fail:
            raise RuntimeError(f"the service refused {key}")
        return StageResult(metrics={}, headline=f"asked with {key}")
'''
SPEC = """
name: asks
seed: 1
model: {hub: someone/small, revision: main}
data: {rows: {use: "file:plugin.py:Rows", token: {env: MADE_LOGIN}}}
stages:
  ask:
    use: "file:plugin.py:Ask"
    key: {env: MADE_LOGIN}
reports: []
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HALO_SECRETS", "")  # so that what a test declares is forgotten
    monkeypatch.setenv("MADE_LOGIN", CANARY)
    (tmp_path / "plugin.py").write_text(PLUGIN)
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def found_in(text: str) -> list[str]:
    """Returns the forms of the canary in a text, also broken over lines."""
    joined = re.sub(r"(\\n|\s)+", "", text)
    forms = {*forms_of(CANARY), base64.b64encode(CANARY.encode()).decode()[:-3], quote(CANARY)}
    return [form for form in forms if re.sub(r"\s+", "", form) in joined]


def is_clean(folder: Path, *outputs: str) -> bool:
    texts = [path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()]
    assert len(texts) > 8
    return not any(map(found_in, [*texts, *outputs]))


@pytest.mark.parametrize("fails", [False, True])
def test_a_secret_is_used_and_stands_in_no_file_and_no_output(
    spec: Path, halo: Halo, tmp_path: Path, fails: bool
) -> None:
    assert found_in(CANARY[:9] + "\n" + CANARY[9:])  # The search finds what it should.
    more = ["--set", "stages.ask.account={user: ann, password: {env: MADE_LOGIN}}"]
    more += ["--set", "stages.ask.more={other: {env: MADE_LOGIN}}"]
    done = halo("run", str(spec), *more, "--set", f"stages.ask.fail={str(fails).lower()}")
    assert done.code == (3 if fails else 0), done.err
    (used,) = tmp_path.glob("workspace/stages/*/used.txt")
    assert used.read_text() == str(len(CANARY))
    assert done.err.count("the service refused <") == 4
    assert is_clean(tmp_path / "workspace", done.out, done.err)
    if not fails:
        resolved = next(tmp_path.glob("workspace/runs/*/spec.resolved.yaml")).read_text()
        assert "MADE_LOGIN" in resolved
        as_json = halo("run", str(spec), *more, "--json")
        assert is_clean(tmp_path / "workspace", as_json.out, as_json.err)
        assert "asked with ***" in as_json.out


def test_another_secret_computes_nothing_again(
    spec: Path, halo: Halo, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = ["--set", "stages.ask.account={user: ann, password: {env: %s}}"]
    first = halo("run", str(spec), account[0], account[1] % "MADE_LOGIN", "--json").json
    monkeypatch.setenv("OTHER_LOGIN", CANARY)
    spec.write_text(SPEC.replace("MADE_LOGIN", "OTHER_LOGIN"))
    again = halo("run", str(spec), account[0], account[1] % "OTHER_LOGIN", "--json").json
    assert [stage["status"] for stage in again["stages"]] == ["cached"]
    assert again["stages"][0]["folder"] == first["stages"][0]["folder"]


class Account(BaseModel):
    password: Secret = Field(description="the password")


class Asks(Stage):
    produces = "samples"
    key: Secret | None = Field(default=None, description="the key")
    account: Account | None = Field(default=None, description="an account")

    def run(self, context: Any) -> Any:
        raise NotImplementedError


def test_the_identity_has_neither_the_secret_nor_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HALO_SECRETS", "")
    made = Asks(key=Secret("A_KEY"), account=Account(password=Secret("B_KEY")))
    dumped = made.model_dump(mode="json")
    assert dumped == {"key": {"env": "A_KEY"}, "account": {"password": {"env": "B_KEY"}}}
    same = made.model_dump(mode="json", context={"identity": True})
    assert same == {"key": "a secret", "account": {"password": "a secret"}}


@pytest.mark.parametrize(
    "written",
    [
        "sk-Canary1234567890abcdef",
        "{env: sk-Canary1234567890abcdef}",
        "{env: sk_canary1234567890abcdef}",
        "{value: sk-Canary1234567890abcdef}",
        "{env: A_KEY, value: sk-Canary1234567890abcdef}",
        "[sk-Canary1234567890abcdef]",
    ],
)
def test_a_secret_in_a_spec_is_a_mistake_that_does_not_show_it(
    spec: Path, halo: Halo, written: str
) -> None:
    spec.write_text(SPEC.replace("key: {env: MADE_LOGIN}", f"key: {written}"))
    for options in ([], ["--json"]):
        refused = halo("validate", str(spec), *options)
        assert refused.code == 2
        assert "canary1234567890" not in (refused.out + refused.err).lower()
        assert "spec.yaml:9:5: stages.ask.key" in refused.out + refused.err
        assert "expected {env: NAME}, where NAME is the environment variable" in (
            refused.out + refused.err
        )
        assert "such as KEY, and write {env: KEY}" in refused.out + refused.err


@pytest.mark.parametrize(
    "setting",
    [
        "key=opensesame99",
        "key={env: MADE_LOGIN, x: opensesame99}",
        "account={user: ann, password: opensesame99}",
        "more={a: opensesame99}",
    ],
)
def test_a_secret_in_a_setting_is_not_shown_either(spec: Path, halo: Halo, setting: str) -> None:
    for options in ([], ["--json"]):
        refused = halo("validate", str(spec), "--set", f"stages.ask.{setting}", *options)
        assert refused.code == 2
        assert "opensesame99" not in refused.out + refused.err
        place = f"--set stages.ask.{setting.partition('=')[0]}=***: stages.ask."
        assert place in refused.out + refused.err


def test_a_key_in_the_name_of_an_option_is_not_shown(spec: Path, halo: Halo) -> None:
    cases = [
        "key: {env: MADE_LOGIN}\n    more: {a: {env: A},api_key:sk-Canary123456789: {env: A}}",
        "key: {env: MADE_LOGIN}\n    more: {sk-Canary123456789abcdef: {env: A}}",
        "key: {env: MADE_LOGIN}\n    more: {password=Canary123456789: 1}",
        "key: {env: MADE_LOGIN}\n    api_key:Canary123456789: 1",
        "key: {env: MADE_LOGIN}\n    sk-Canary1234567890abcdef: 1",
        "key: {env: MADE_LOGIN}\n    c4n&ry/=of the+service: 1",
        "key: {env: MADE_LOGIN}\n    {use: x,api_key:Canary123456789}: 1",
    ]
    for case in cases:
        spec.write_text(SPEC.replace("key: {env: MADE_LOGIN}", case))
        for options in ([], ["--json"]):
            refused = halo("validate", str(spec), *options)
            assert refused.code == 2, case
            said = refused.out + refused.err
            assert "canary123456789" not in said.lower(), said
            assert not found_in(said), said


def test_a_secret_that_is_not_set_is_a_mistake_before_a_stage(
    spec: Path, halo: Halo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MADE_LOGIN")
    assert halo("validate", str(spec)).code == 0
    refused = halo("run", str(spec), "--json")
    assert refused.code == 2
    assert [stage["status"] for stage in refused.json["stages"]] == ["pending"]
    message = "the environment variable MADE_LOGIN, which should hold the secret, is not set"
    assert message in refused.json["error"]["message"] + refused.json["errors"][0]["message"]
    assert "stages.ask.key" in refused.json["errors"][0]["location"]
    assert "MADE_LOGIN is not set" in halo("doctor", str(spec)).out
    with pytest.raises(UserError, match="MADE_LOGIN"):
        Secret("MADE_LOGIN").reveal()


def test_every_declared_variable_is_known_whatever_it_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HALO_SECRETS", "")
    monkeypatch.setenv("MADE_LOGIN", CANARY)
    assert CANARY not in known_secrets()
    assert repr(Secret("MADE_LOGIN")) == "Secret('MADE_LOGIN')"
    assert hide_known(f"<{CANARY}>") == "<***>"


class Nested(BaseModel):
    deeper: dict[str, Nested] = Field(default_factory=dict, description="more")
    password: SecretStr = Field(description="the password")


@pytest.mark.parametrize("type_", [SecretStr | None, list[SecretStr], Nested | None])
def test_pydantic_s_own_secret_types_are_refused(type_: Any) -> None:
    with pytest.raises(PluginError, match=r"option 'key' has a secret type .* use halo_core\.Secr"):
        create_model("Bad", __base__=DataSource, key=(type_, Field(description="the key")))


def test_a_secret_is_described_in_lists_and_schemas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALO_SECRETS", "")

    class Described(Stage):
        produces = "samples"
        key: Secret = Field(default=Secret("A_KEY"), description="the key")

        def run(self, context: Any) -> Any:
            raise NotImplementedError

    (option,) = options_of(Described)
    assert (option.type, option.default) == ("secret {env: NAME}", {"env": "A_KEY"})
    schema = json.loads(json.dumps(Described.model_json_schema()))
    assert schema["properties"]["key"]["required"] == ["env"]
