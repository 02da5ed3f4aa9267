"""Scale: a batch here and on a Ray cluster that loses a machine, and what an hour of video costs.

    python benchmarks/scale.py --clip clip.mp4 [--count 1000] [--hours 10000 10000000]

The cluster is three nodes on this machine with a core each; a batch here has three processes. Each
batch is `--count` copies of the first second of the clip, one of which cannot be read. A third
batch loses a node when half of it is done. Processes load within the time of their batch. Cost is
that of the clip, looped to a minute, in one process on one core; the hours are computed from it.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from annotate import loop

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from emotion.annotate import batch, recordings
from emotion.engines import Engine
from emotion.shipped import starter

CORES = 3


def resident():
    """float, MiB of this process (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(source, output, engine, model, midway=lambda: None):
    """A dict of what a batch took, and of what became of it."""
    jobs = [job.absolute() for job in recordings.list_jobs([source], output, ".csv")]
    settings = recordings.Settings(str(model))
    recordings.unfinished(jobs, settings, output, source)
    answered, reasons, written, memory = Counter(), [], {}, []
    begun = time.perf_counter()
    for job, reason in batch.work(jobs, settings, engine):
        answered[job.path] += 1
        if reason:
            reasons.append(reason)
        else:
            written |= {path: path.stat().st_mtime_ns for path in job.outputs}
        if sum(answered.values()) == len(jobs) // 2:
            midway()
        memory.append(resident())
    return {
        "seconds": round(time.perf_counter() - begun, 1),
        "results": sum(path.exists() for path in written) // 2,
        "answered_once": set(answered.values()) == {1} and len(answered) == len(jobs),
        "reasons": len(reasons),
        "written_again": sum(path.stat().st_mtime_ns != then for path, then in written.items()),
        "driver_mib": [round(memory[i * (len(memory) - 1) // 4]) for i in range(1, 5)],
    }


def cost(minute, output, model):
    """A dict of what a minute takes: core seconds, MiB, bytes read and written."""
    from emotion.engines import limit_threads

    limit_threads(1)
    os.sched_setaffinity(0, [0])
    job = recordings.Job(minute, output / "annotated.mp4", output / "annotated.csv")
    recognizer = recordings.Settings(str(model)).load()
    before = os.times()
    recordings.annotate(job, recognizer, recordings.Settings(str(model)))
    after = os.times()
    return {
        "core_seconds": round(after.user + after.system - before.user - before.system, 1),
        "resident_mib": round(resident()),
        "read_mb": round(minute.stat().st_size / 1e6, 1),
        "written_mb": round(sum(path.stat().st_size for path in job.outputs) / 1e6, 1),
    }


def main():
    """Prints a line of JSON for each batch, and for the cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--model", type=Path, default=starter())
    parser.add_argument("--hours", type=float, nargs="*", default=[10_000, 10_000_000])
    args = parser.parse_args()
    from ray import init, shutdown
    from ray.cluster_utils import Cluster

    from emotion import processes

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        minute = loop(args.clip, folder / "minute.mp4", 60)
        minute_cost = processes.apart(cost, minute, folder, args.model)
        print(json.dumps({"batch": "a minute on one core", **minute_cost}), flush=True)
        for hours in args.hours:
            per_hour = {name: 60 * value for name, value in minute_cost.items()}
            print(json.dumps({
                "hours": hours,
                "core_years": round(hours * per_hour["core_seconds"] / 3600 / 24 / 365.25, 2),
                "days_on_1000_cores": round(hours * per_hour["core_seconds"] / 86.4e6, 2),
                "read_tb": round(hours * per_hour["read_mb"] / 1e6, 2),
                "written_tb": round(hours * per_hour["written_mb"] / 1e6, 2),
            }))  # fmt: skip
        if not args.count:
            return
        source = folder / "clips"
        source.mkdir()
        content = loop(args.clip, folder / "second.mp4", 0.01, 1.0).read_bytes()
        for i in range(args.count):
            (source / f"{i:05}.mp4").write_bytes(content if i else b"not a recording")
        here = run(source, folder / "here", Engine("local", CORES), args.model)
        print(json.dumps({"batch": "here", **here}), flush=True)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        nodes = [cluster.add_node(num_cpus=1) for _ in range(CORES - 1)]
        init(cluster.address, log_to_driver=False, logging_level="error",
             runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}})  # fmt: skip
        try:
            whole = run(source, folder / "ray", Engine("ray"), args.model)
            overhead = whole["seconds"] / here["seconds"] - 1
            print(json.dumps({"batch": "three nodes", **whole, "overhead": round(overhead, 3)}))
            lose = lambda: cluster.remove_node(nodes[0], allow_graceful=False)
            lost = run(source, folder / "lost", Engine("ray"), args.model, lose)
            print(json.dumps({"batch": "three nodes, one lost", **lost}))
        finally:
            shutdown()
            cluster.shutdown()


if __name__ == "__main__":
    main()
