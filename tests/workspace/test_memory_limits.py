"""The smallest limit of memory counts, from made files and from the limit of the shell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from halo_core import memory_limits as limits
from halo_core.memory_limits import MACHINE, MemoryLimit, container_limits, least_memory

GIB = 2**30


def made(root: Path, groups: str, files: dict[str, str]) -> Path:
    """Writes a machine of 64 GiB with groups of processes and their files."""
    memory = f"MemTotal: {64 * 2**20} kB\nMemAvailable: {32 * 2**20} kB\n"
    for name, text in {"proc/meminfo": memory, "proc/self/cgroup": groups, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "file", "size"),
    [
        ("0::/\n", {"sys/fs/cgroup/memory.max": "max\n"}, "", 64 * GIB),
        ("0::/\n", {"sys/fs/cgroup/memory.max": f"{3 * GIB}\n"}, "memory.max", 3 * GIB),
        # The limit of a group holds for those below it.
        (
            "0::/a/b\n",
            {"sys/fs/cgroup/a/memory.max": "5\n", "sys/fs/cgroup/a/b/memory.max": "7\n"},
            "a/memory.max",
            5,
        ),
        # Inside the container, the path outside of it is not there.
        ("0::/docker/1\n", {"sys/fs/cgroup/memory.max": "9\n"}, "memory.max", 9),
        (
            "4:memory:/docker/1\n0::/\n",
            {"sys/fs/cgroup/memory/memory.limit_in_bytes": "11\n"},
            "memory/memory.limit_in_bytes",
            11,
        ),
        (
            "4:cpu,memory:/x\n",
            {
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "13\n",
            },
            "memory/x/memory.limit_in_bytes",
            13,
        ),
        ("4:memory:/\n", {"sys/fs/cgroup/memory/memory.limit_in_bytes": "nonsense"}, "", 64 * GIB),
        ("nonsense\n1:2\n", {"sys/fs/cgroup/memory.max": "1\n"}, "memory.max", 1),
    ],
)
def test_the_least_limit_counts_and_names_what_has_it(
    tmp_path: Path, groups: str, files: dict[str, str], file: str, size: int
) -> None:
    root = made(tmp_path, groups, files)
    least = least_memory(root)
    assert least is not None
    assert least.size == size
    assert least.of == (f"this container ({root}/sys/fs/cgroup/{file})" if file else MACHINE)


def test_what_is_used_is_counted_without_files_that_can_be_dropped(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/memory/memory"
    files = {f"{group}.limit_in_bytes": "5000", f"{group}.usage_in_bytes": "1000"}
    files[f"{group}.stat"] = "total_rss 600\ntotal_inactive_file 300\n"
    (limit,) = container_limits(made(tmp_path, "4:memory:/\n", files))
    assert (limit.used, limit.left) == (700, 4300)
    assert MemoryLimit(5, "a group", 7).left == 0


def test_a_machine_without_these_files_has_its_own_memory(tmp_path: Path) -> None:
    found = least_memory(tmp_path)
    assert found is not None
    assert found.of == MACHINE
    assert found.size > GIB / 8
    assert list(container_limits(tmp_path)) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep to this limit")
def test_a_limit_of_the_shell_counts() -> None:
    code = f"from {limits.__name__} import least_memory; print(least_memory())"
    command = f"ulimit -v 1500000; exec {sys.executable} -c '{code}'"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert "size=1536000000, of='the limit of the shell (ulimit -v)'" in done.stdout
