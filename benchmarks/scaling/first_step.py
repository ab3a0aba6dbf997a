"""Runs a spec up to its first training step in this process, and says what that took.

python -m scaling.first_step WORKSPACE SPEC
python -m scaling.first_step --imports MODULES
python -m scaling.first_step --tokenizers MODEL ROWS
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

AT_ONCE = 1_000
"""Number of texts that tokenizers' own code gets in a call."""


def memory() -> dict[str, float]:
    """Returns the largest memory of this process so far and the memory of now, in MB.

    ``anonymous`` leaves out the pages of files, which the system takes back when it needs them.
    """
    status = Path("/proc/self/status").read_text()
    lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    names = {"peak": "VmHWM", "now": "VmRSS", "anonymous": "RssAnon", "file": "RssFile"}
    return {name: int(lines[key].split()[0]) / 1000 for name, key in names.items()}


def cpu_s() -> float:
    """Returns the CPU seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def run_to_first_step(workspace: str, spec: str) -> None:
    """Runs a spec, and ends this process at the first step of a training."""
    from halo_core.cli import call
    from halo_trainer.train.loop import Loop

    started = memory()

    def stop(loop: Loop) -> None:
        rows = len(loop.training.data)
        found = {"cpu": cpu_s(), "memory": memory(), "started": started, "rows": rows}
        _print({**found, "modules": _imported()})
        sys.stdout.flush()
        if profile is not None:
            profile.disable()
            profile.dump_stats(os.environ["SCALE_PROFILE"])
        os._exit(0)

    Loop.run = stop  # type: ignore[method-assign]
    profile = _profile()
    code = call(["run", spec, "--workspace", workspace])
    raise SystemExit(f"the run ended with {code} before its first step")


def _profile() -> Any:
    if "SCALE_PROFILE" not in os.environ:
        return None
    import cProfile

    profile = cProfile.Profile(cpu_s)
    profile.enable()
    return profile


def _imported() -> list[str]:
    return [name for name, module in sys.modules.items() if getattr(module, "__file__", None)]


def import_modules(names: str) -> None:
    """Imports modules and prints the memory that they take."""
    for name in json.loads(Path(names).read_text()):
        if name.startswith(("__main__", "scaling")):
            continue
        try:
            importlib.import_module(name)
        except ImportError:
            continue  # A part of a package that only its own package can import.
    _print({"cpu": cpu_s(), "memory": memory()})


def tokenise(model: str, rows: str) -> None:
    """Tokenises the whole text of each row with tokenizers' own code alone."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(model) / "tokenizer.json"))
    texts = []
    with Path(rows).open() as file:
        for line in file:
            row = json.loads(line)
            prompt = row["prompt"]
            turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
            texts.append(
                "".join(f"<|{turn['role']}|>\n{turn['content']}<|end|>\n" for turn in turns)
                + f"<|assistant|>\n{row['completion']}<|end|>\n"
            )
    before = cpu_s()
    tokens = 0
    for start in range(0, len(texts), AT_ONCE):
        encoded = tokenizer.encode_batch(texts[start : start + AT_ONCE], add_special_tokens=False)
        tokens += sum(len(each.ids) for each in encoded)
    _print({"cpu": cpu_s() - before, "tokens": tokens, "memory": memory()})


def _print(found: dict[str, Any]) -> None:
    print(json.dumps(found))


def main() -> None:
    tasks: dict[str, Callable[..., None]] = {"--imports": import_modules, "--tokenizers": tokenise}
    first = sys.argv[1]
    tasks.get(first, run_to_first_step)(*sys.argv[2 if first in tasks else 1 :])


if __name__ == "__main__":
    main()
