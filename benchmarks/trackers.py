"""Counts the points that arrive in MLflow with faults, and measures what a tracker costs.

    python benchmarks/trackers.py [--short] [--seed 0] [--only PART] [--page FILE]

Parts: `cost` (processor time and memory per point, of a first sync and of one that finds all
points there), `step` (time of a step with no tracker, with its process, and with a thread as
before), `sqlite`, `slow` (late answers), `refuses` (answers 400 and 503, closed connections, lost
answers), `dies` (the server is killed and comes back), `kills` (the tracker's process or the run is
killed at random). The faults depend only on the seed. Wall times depend on what else the machine
does; processor times hardly do. The exit code is 1 if a point is missing or is there twice after
one `halo sync`, a state is wrong, or a cost is too high. `--short` takes less than a minute of
processor time and leaves the servers out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tracker_faults import Server, proxied

from halo_core.events import EventLog, last_events
from halo_core.garbage import few_collections
from halo_core.plugins.discovery import discover
from halo_core.spec.document import Document
from halo_core.spec.mistakes import Mistakes
from halo_core.spec.resolved import Resolved
from halo_core.spec.resolver import Resolver
from halo_core.tracking.carrier import Tracking
from halo_core.tracking.feed import make_feeds
from halo_core.tracking.processes import TrackerProcesses
from halo_core.tracking.send import recorded_trees, send_run, trackers_of
from halo_core.workspace.lock import owned
from halo_core.workspace.records import RUN, RunRecord

NAMES = (
    "train/loss",
    "train/lr",
    "train/grad_norm",
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
    "policy/kl",
    "perf/tok_s",
)
DEADLINE_S = 30.0
FAULTS = ("sqlite", "kills", "slow", "refuses", "dies")


def make_run(workspace: Path, uri: str | None = None) -> Path:
    """Returns the folder of a new run with the tracker MLflow."""
    folder = workspace / "runs" / "toy"
    folder.mkdir(parents=True)
    tree = {"use": "mlflow", "timeout_s": 2, **({"uri": uri} if uri else {})}
    stages = [{"id": "kto", "use": "train", "folder": "stages/k", "key": "k", "product": "model"}]
    record = {"name": "toy", "recipe": "toy", "seed": 1, "command": ["halo"], "stages": stages}
    RUN.write(folder, RunRecord(**record, data={}, tracking=[tree], components=[], versions={}))  # type: ignore[typeddict-item]
    (folder / "spec.resolved.yaml").write_text("name: toy\n")
    return folder


def tracker_of(run: Path) -> list[Resolved]:
    """Returns the trackers of a run."""
    trees = list(recorded_trees(run))
    mistakes = Mistakes(Document("run.json", run, {"tracking": trees}))
    resolver = Resolver(discover(), mistakes)
    found = [resolver.resolve("tracker", dict(t), ("tracking", i)) for i, t in enumerate(trees)]
    mistakes.raise_if_any()
    return [resolved for resolved in found if resolved]


def step_event(log: EventLog, step: int) -> None:
    metrics = {name: (step + place) / 7 for place, name in enumerate(NAMES)}
    log.append("metrics", stage="kto", step=step, metrics=metrics, examples=step)


def start_event(log: EventLog) -> None:
    log.append("run-started", name="toy", run="toy", stages=["kto"])


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def train(run: Path, steps: int, pace_s: float) -> None:
    """Plays a run, as the controller: continues after the last step, and ends."""
    log = EventLog(run / "events.jsonl")
    begun = (run / "events.jsonl").exists()
    last = (
        next((e["step"] for e in last_events(run / "events.jsonl") if "step" in e), 0)
        if begun
        else 0
    )
    with owned(run), TrackerProcesses(tracker_of(run), run, run.parents[1], say, say) as tracking:
        start_event(log)
        for step in range(last + 1, steps + 1):
            step_event(log, step)
            time.sleep(pace_s)
        log.append("run-ended", status="done", headline="", error=None)
        tracking.close(DEADLINE_S)


@contextmanager
def controller(run: Path, steps: int, pace_s: float) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, __file__, "--train", str(run), str(steps), str(pace_s)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        yield process


def arrived(run: Path, uri: str) -> tuple[Counter[int], str, dict[str, str]]:
    """Returns how often each step of each curve is in the store, the status and the tags."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    if not (run / "mlflow.json").exists():
        return Counter(), "not there", {}
    state = next(iter(json.loads((run / "mlflow.json").read_text())["stores"].values()))
    found = client.get_run(state["run_id"])
    counts: Counter[int] = Counter()
    for key in found.data.metrics:
        steps = Counter(point.step for point in client.get_metric_history(state["run_id"], key))
        counts.update(steps.values())
    return counts, found.info.status, dict(found.data.tags)


def faults(part: str, seed: int, steps: int, pace_s: float) -> dict[str, object]:
    """Plays a run with faults, and returns what arrived by itself and after one sync."""
    chance, hits = random.Random(f"{part} {seed}"), Counter[str]()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        workspace = Path(folder) / "ws"
        workspace.mkdir()
        uri = None
        if part in ("slow", "refuses", "dies"):
            server = Server(workspace)
            server.start()
            stack.callback(server.stop)
            uri = server.url
            if part != "dies":
                uri = stack.enter_context(proxied(server.port, part, seed, hits))
        run = make_run(workspace, uri)
        if part == "kills":
            _kill(run, steps, pace_s, chance, hits)
        with controller(run, steps, pace_s) as process:
            if part == "dies":
                _let_die(server, process, chance, hits)
            process.wait()
        direct = server.url if uri else f"sqlite:///{workspace / 'mlflow.db'}"
        own, status, tags = arrived(run, direct)
        sent = send_run(run, workspace)
        after, final, _ = arrived(run, direct)
    expected = steps * len(NAMES)
    wrong = status == "FAILED"
    good = after == Counter({1: expected}) and final == "FINISHED" and not sent.failures
    return {
        "part": part,
        "faults": ", ".join(f"{n} {what}" for what, n in sorted(hits.items())) or "none",
        "points": expected,
        "by itself": own.total(),
        "after one sync": after.total(),
        "twice": sum(n for times, n in after.items() if times > 1),
        "status at the end": status + (" (incomplete)" if "halo.incomplete" in tags else ""),
        "ok": good and not wrong,
    }


def _let_die(
    server: Server, process: subprocess.Popen[bytes], chance: random.Random, hits: Counter[str]
) -> None:
    for _ in range(2):
        time.sleep(chance.uniform(5, 15))
        if process.poll() is not None:
            return
        server.stop()
        hits["server killed"] += 1
        time.sleep(chance.uniform(1, 4))
        server.start()


def _kill(run: Path, steps: int, pace_s: float, chance: random.Random, hits: Counter[str]) -> None:
    """Kills the run, alone or after its tracker's process: six times, or twice in a short form."""
    for number in range(6 if steps > 1000 else 2):
        with controller(run, steps, pace_s) as process:
            time.sleep(chance.uniform(2, 6 if steps < 1000 else 15))
            if process.poll() is not None:
                return
            child = children(process.pid) if number % 2 else []
            what = "tracker killed" if child else "run killed"
            for pid in child or [process.pid]:
                os.kill(pid, signal.SIGKILL)
            hits[what] += 1
            if child:
                time.sleep(chance.uniform(0, 2))
                process.kill()
                hits["run killed"] += 1


def children(pid: int) -> list[int]:
    """Returns the processes that a process started."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for task in tasks for word in task.read_text().split()]


def cost(points: int) -> dict[str, object]:
    """Returns the processor time per point and the growth of memory of two syncs."""
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder) / "ws")
        log, events = EventLog(run / "events.jsonl"), points // len(NAMES)
        start_event(log)
        step_event(log, 1)
        (feed,) = make_feeds(trackers_of(tracker_of(run)), run, run.parents[1])
        while feed.step():  # MLflow is imported, and the database made.
            pass
        for step in range(2, events + 1):
            step_event(log, step)
        times, memory = [], [_memory()]
        for rewinds in (False, True):
            if rewinds:
                feed.close()
                (feed,) = make_feeds(trackers_of(tracker_of(run)), run, run.parents[1])
                feed.rewind()
            begun, steps = time.process_time(), 0
            while feed.step():
                steps += 1
                if steps == 3 and not rewinds:
                    memory[0] = _memory()
            times.append(time.process_time() - begun)
            memory.append(_memory())
        feed.close()
    return {
        "points": points,
        "first sync, ms of CPU per point": round(times[0] / points * 1e3, 3),
        "first sync, s of CPU": round(times[0], 1),
        "second sync, ms of CPU per point": round(times[1] / points * 1e3, 3),
        "memory grows by, MB": round(memory[1] - memory[0], 1),
        "memory grows by in the second, MB": round(memory[2] - memory[1], 1),
        "ok": times[0] / points * 1e3 <= 0.25 and times[1] / points * 1e3 <= 0.25,
    }


def rarely(points: int) -> dict[str, object]:
    """Returns `cost`, measured as `halo sync` works."""
    with few_collections():
        return cost(points)


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def step_times(steps: int) -> dict[str, object]:
    """Returns the time of a step of 20 ms of work with no tracker, a process, and a thread."""
    walls: dict[str, list[float]] = {"none": [], "process": [], "thread": []}
    cpu: dict[str, list[float]] = {kind: [] for kind in walls}
    beside: list[float] = []
    for _ in range(2):
        for kind in walls:
            with tempfile.TemporaryDirectory() as folder:
                run = make_run(Path(folder) / "ws")
                log = EventLog(run / "events.jsonl")
                start_event(log)
                with _tracked(kind, run):
                    _settle(run, kind)
                    used, other = time.process_time(), _cpu_of_children()
                    for step in range(1, steps + 1):
                        begun = time.perf_counter()
                        _work()
                        step_event(log, step)
                        walls[kind].append((time.perf_counter() - begun) * 1e3)
                    cpu[kind].append((time.process_time() - used) / steps * 1e3)
                    if kind == "process":
                        beside.append((_cpu_of_children() - other) / steps * 1e3)
    # All steps: the tracker works for a moment every few seconds, so it delays few of them.
    middle = {kind: statistics.mean(times) for kind, times in walls.items()}
    used_ms = {kind: statistics.median(times) for kind, times in cpu.items()}
    return {
        **{f"{kind}, ms per step": round(middle[kind], 2) for kind in walls},
        **{
            f"{kind}, ms of CPU in the process that trains": round(used_ms[kind], 2) for kind in cpu
        },
        "ms of CPU per step in the process of the tracker": round(max(beside), 2),
        "slower with the process, ms": round(middle["process"] - middle["none"], 2),
        "slower with a thread, ms": round(middle["thread"] - middle["none"], 2),
        # Where all cores train, the tracker can take no more time from a step than it uses.
        "ok": used_ms["process"] - used_ms["none"] + max(beside) <= 1.0,
    }


def _cpu_of_children() -> float:
    """Returns the processor time of the processes that this one started, in seconds."""
    ticks = 0
    for pid in children(os.getpid()):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def _tracked(kind: str, run: Path) -> Iterator[None]:
    if kind == "process":
        with TrackerProcesses(tracker_of(run), run, run.parents[1], say, say):
            yield
    elif kind == "thread":
        with Tracking(trackers_of(tracker_of(run)), run, run.parents[1], say):
            yield
    else:
        yield


def _settle(run: Path, kind: str) -> None:
    """Waits until the tracker has connected, so that its start is not measured."""
    while kind != "none" and not (run / "tracking.json").exists():
        time.sleep(0.1)


def _work() -> None:
    """Works for 20 ms of this thread's processor time, in Python, as a training loop does."""
    until = time.thread_time() + 0.02
    while time.thread_time() < until:
        sum(i * i for i in range(200))


def table(rows: Sequence[dict[str, object]]) -> str:
    """Returns rows as a table in Markdown."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([str(row[name]) for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Runs the parts, prints their tables, and returns the exit code."""
    parser = argparse.ArgumentParser(description="Counts points and costs of the tracker MLflow.")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("cost", "step", *FAULTS))
    parser.add_argument("--page", type=Path)
    parser.add_argument("--train", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        run, steps, pace_s = arguments.train
        train(Path(run), int(steps), float(pace_s))
        return 0
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    short = arguments.short
    steps, pace_s = (300, 0.01) if short else (1500, 0.04)
    measures: dict[str, Callable[[], dict[str, object]]] = {
        "cost": lambda: rarely(8_000 if short else 280_000),
        "step": lambda: step_times(60 if short else 400),
    }
    parts = (
        [arguments.only] if arguments.only else ["cost", "step", *FAULTS[: 2 if short else None]]
    )
    pages, ok = [], True
    lost = []
    for part in parts:
        say(f"{part} ...")
        if part in measures:
            row = measures[part]()
            pages.append(table([{"measured": k, "value": v} for k, v in row.items()]))
        else:
            row = faults(part, arguments.seed, steps, pace_s)
            lost.append(row)
        ok = ok and bool(row["ok"])
    page = "\n\n".join([*pages, *([table(lost)] if lost else [])])
    print(page)
    if arguments.page:
        arguments.page.write_text(page + "\n")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
