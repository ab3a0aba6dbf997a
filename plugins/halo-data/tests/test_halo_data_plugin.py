from __future__ import annotations

import subprocess
import sys

import halo_data.components
import halo_data.toy
from halo_core.component import Component
from halo_core.plugins.builtin_names import RESERVED
from halo_core.plugins.registrar import Registrar
from halo_core.plugins.registry import import_target
from halo_data.plugin import halo_register

HEAVY = ("torch", "transformers", "datasets", "huggingface_hub", "pyarrow", "numpy", "pandas")


def test_importing_the_components_imports_nothing_heavy() -> None:
    code = (
        "import sys, halo_data.plugin, halo_data.components; "
        "from halo_data.components import Toy; list(Toy(size=3).load('train').rows); "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_exported_names_are_there_and_none_twice() -> None:
    for module in (halo_data.components, halo_data.toy):
        assert sorted(module.__all__) == sorted(set(module.__all__))
        assert all(hasattr(module, name) for name in module.__all__)


def test_every_reserved_name_of_this_distribution_is_registered_and_imports() -> None:
    registrar = Registrar("halo-data", "0.1.0", "plugin.py")
    halo_register(registrar)
    found = {(r.kind, r.name) for r in registrar.registrations}
    reserved = {
        (kind, name)
        for kind, names in RESERVED.items()
        for name, owner in names.items()
        if owner == "halo-data"
    }
    assert found == reserved
    for registration in registrar.registrations:
        component = import_target(registration)
        assert issubclass(component, Component)
        assert component.kind == registration.kind
