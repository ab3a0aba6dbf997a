"""Components know their name in the spec, and errors name the right component and line."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, Field

from halo_core.component import Component, with_origin
from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import PluginError, UserError
from halo_core.guarded.blame import blaming, blaming_exit, definition_of, owns, plugin_error
from halo_core.loss import Loss
from halo_core.plugins.discovery import load
from halo_core.plugins.entry_points import announcements
from halo_core.plugins.registry import Registry
from halo_core.run.identity import component_identity
from halo_core.spec.document import Document
from halo_core.spec.mistakes import Mistakes
from halo_core.spec.resolved import Resolved
from halo_core.spec.resolver import Resolver

Registers = Callable[..., str]

SOURCE = """\
from pydantic import BaseModel, Field, field_validator
from halo_core import DataInfo, DataSource, Loaded


class Row(BaseModel):
    text: str


class Rows(DataSource):
    size: int = Field(default=1, description="rows")
    of: DataSource | None = Field(default=None, description="others")

    @field_validator("size")
    @classmethod
    def even(cls, size):
        if size == 14:
            raise SystemExit(0)
        return size + None if size == 13 else size

    def inspect(self):
        return DataInfo("text", ("train",), "1")

    def load(self, split):
        return Loaded([Row(text=3).model_dump()])
"""
RAISING_LINE = SOURCE.splitlines().index("        return Loaded([Row(text=3).model_dump()])") + 1
LOAD_LINE = RAISING_LINE - 1


class Steady(DataSource):
    """A source that promises that its results stay the same."""

    results_version: ClassVar[int | None] = 3
    size: int = Field(default=1, description="rows")

    def inspect(self) -> DataInfo:
        return DataInfo("text", ("train",), "1")

    def load(self, split: str) -> Loaded:
        return Loaded([{"text": "x"}])


@pytest.fixture
def registry(site: Any, registers: Registers) -> Iterator[Registry]:
    """Two sources with one class name, in two modules of one distribution."""
    calls = ("data('a', 'acme_a:Rows')", "data('b', 'acme_b:Rows')")
    site.add("halo-acme", registers(*calls), version="2.1")
    for module in ("acme_a", "acme_b"):
        (site.folder / f"{module}.py").write_text(SOURCE)
    yield load(announcements([str(site.folder)]))
    for module in ("acme_a", "acme_b"):
        sys.modules.pop(module, None)


def resolved(registry: Registry, value: Any) -> Resolved:
    mistakes = Mistakes(Document("spec.yaml", Path("/"), {"x": value}))
    found = Resolver(registry, mistakes).resolve("data", value, ("x",))
    mistakes.raise_if_any()
    assert found is not None
    return found


def test_two_classes_of_one_name_keep_their_own_names(registry: Registry) -> None:
    a, b = (resolved(registry, f"acme/{name}").component for name in "ab")
    assert type(a).__qualname__ == type(b).__qualname__
    assert (a.spec_name, b.spec_name) == ("acme/a", "acme/b")


def test_a_component_within_another_knows_its_name_and_keeps_it_in_copies(
    registry: Registry,
) -> None:
    outer: Any = resolved(registry, {"use": "acme/a", "of": "acme/b"}).component
    assert outer.of.spec_name == "acme/b"
    assert outer.model_copy(update={"size": 2}).spec_name == "acme/a"
    assert outer.model_copy(update={"size": 2}).of.spec_name == "acme/b"


def test_the_name_is_no_option_and_makes_no_difference(registry: Registry) -> None:
    found: Any = resolved(registry, "acme/a").component
    assert found == type(found)()
    assert set(found.model_dump()) == {"size", "of"}


def test_a_component_built_by_hand_is_called_after_its_class() -> None:
    assert Steady().spec_name == "Steady"
    assert Steady().spec_origin is None


def test_what_a_plugin_raises_is_placed_in_its_own_file_not_in_pydantic_s(
    registry: Registry, site: Any
) -> None:
    source: Any = resolved(registry, "acme/b").component
    with pytest.raises(PluginError) as caught, blaming(source, "load('train')"):
        source.load("train")
    assert caught.value.location == f"{site.folder}/acme_b.py:{RAISING_LINE}"
    assert caught.value.message.startswith("acme/b.load('train') raised ValidationError: 1 valid")
    assert caught.value.message.endswith(" (halo-acme 2.1)")
    assert caught.value.exit_code == 3


def test_what_a_plugin_raises_on_purpose_passes_through(registry: Registry) -> None:
    source = resolved(registry, "acme/a").component
    with pytest.raises(UserError, match=r"^mine$"), blaming(source, "load"):
        raise UserError("mine")


def test_what_a_plugin_gives_back_is_placed_at_its_method(registry: Registry, site: Any) -> None:
    source = resolved(registry, "acme/a").component
    error = plugin_error(source, "load", "returned None; expected Loaded")
    assert str(error) == (
        f"{site.folder}/acme_a.py:{LOAD_LINE}: "
        "acme/a.load() returned None; expected Loaded (halo-acme 2.1)"
    )


def test_a_call_that_cannot_be_made_is_placed_at_the_method(registry: Registry, site: Any) -> None:
    source: Any = resolved(registry, "acme/a").component
    with pytest.raises(PluginError, match="missing 1 required") as caught, blaming(source, "load"):
        source.load()
    assert caught.value.location == f"{site.folder}/acme_a.py:{LOAD_LINE}"


def test_a_method_of_the_core_is_placed_at_the_plugin_s_class(
    registry: Registry, site: Any
) -> None:
    source = resolved(registry, "acme/a").component
    line = SOURCE.splitlines().index("class Rows(DataSource):") + 1
    assert definition_of(source, "file_digests") == f"{site.folder}/acme_a.py:{line}"


def test_a_check_of_options_that_raises_by_accident_blames_the_plugin(
    registry: Registry, site: Any
) -> None:
    with pytest.raises(UserError) as caught:
        resolved(registry, {"use": "acme/a", "size": 13})
    assert caught.value.exit_code == 3
    line = SOURCE.splitlines().index("        return size + None if size == 13 else size") + 1
    assert f"{site.folder}/acme_a.py:{line}" in str(caught.value)
    assert "acme/a (halo-acme 2.1) could not check its options: it raised TypeError" in str(
        caught.value
    )


def test_a_check_of_options_that_ends_python_blames_the_plugin(registry: Registry) -> None:
    with pytest.raises(UserError, match="it raised SystemExit: 0") as caught:
        resolved(registry, {"use": "acme/a", "size": 14})
    assert caught.value.exit_code == 3


def test_a_single_module_owns_itself_and_nothing_beside_it(registry: Registry, site: Any) -> None:
    source = resolved(registry, "acme/a").component
    assert owns(source, f"{site.folder}/acme_a.py")
    assert not owns(source, f"{site.folder}/acme_b.py")
    assert not owns(source, sys.modules[BaseModel.__module__].__file__ or "")


def test_a_promised_version_of_the_results_stands_in_the_identity(
    tmp_path: Path, registry: Registry
) -> None:
    found = resolved(registry, f"file:{__file__}:Steady")
    assert component_identity(found)["version"] == "results 3"
    assert component_identity(resolved(registry, "acme/a"))["version"] == "2.1"


@pytest.mark.parametrize("version", [0, -1, True, "1", 1.0])
def test_a_version_of_the_results_that_is_no_number_is_refused(version: object) -> None:
    with pytest.raises(PluginError, match=r"results_version is .*; expected a whole number of at"):
        type("Odd", (Steady,), {"results_version": version, "__module__": __name__})


@pytest.mark.parametrize(
    ("interface", "name", "meant"),
    [(Loss, "neded", "needed"), (Loss, "head", "heads"), (DataSource, "inspekt", "inspect")],
)
def test_a_misspelt_method_is_refused_when_the_class_is_made(
    interface: type[Component], name: str, meant: str
) -> None:
    body: dict[str, Any] = {name: lambda self: (), "__module__": __name__}
    if interface is Loss:
        body |= {"feedback": "text", "needs": ()}
    message = rf"{name}\(\) is not a method of {interface.__name__}.* Did you mean {meant}\(\)\?"
    with pytest.raises(PluginError, match=message):
        type("Odd", (interface,), body)


def test_methods_of_one_s_own_are_free() -> None:
    body = {"rows_of": lambda self: (), "_inspekt": lambda self: (), "__module__": __name__}
    assert type("Own", (Steady,), body) is not None


def test_a_copy_with_an_origin_leaves_the_first_as_it_was(registry: Registry) -> None:
    first = Steady()
    origin = resolved(registry, "acme/a").component.spec_origin
    assert origin is not None
    assert with_origin(first, origin).spec_name == "acme/a"
    assert first.spec_name == "Steady"


def test_a_plugin_that_ends_python_is_blamed_like_one_that_raises() -> None:
    with pytest.raises(PluginError, match=r"load\('train'\) raised SystemExit: 0"):
        with blaming(Steady(), "load('train')"):
            sys.exit(0)


@pytest.fixture
def _pythons_handler() -> Iterator[None]:
    """Python's own handler of Ctrl-C, also where the tests run in the background and ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_pythons_handler")
def test_where_exceptions_are_borne_only_the_end_of_python_is_blamed() -> None:
    with pytest.raises(PluginError, match=r"Steady.load\(\) raised SystemExit: 2"):
        with blaming_exit(Steady(), "load"):
            sys.exit(2)
    for error in (KeyboardInterrupt(), OSError("gone"), UserError("no key")):
        with pytest.raises(type(error)) as caught, blaming_exit(Steady(), "load"):
            raise error
        assert caught.value is error
