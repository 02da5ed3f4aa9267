"""Where jobs run: in processes of this machine, or on a Ray cluster.

A job's results appear under their names once they are whole, so it may be begun again, as it is
where a machine is lost.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import as_completed
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import cv2
from pebble import ProcessExpired

from emotion import processes

ENGINES = ("local", "ray")
RETRIES = 2  # of a job whose process or machine was lost, on a cluster
GRACE = 10  # seconds for jobs that are cancelled
AHEAD = 2  # jobs for each core of a cluster that are handed out at a time


@dataclass(frozen=True)
class Engine:
    """Runs jobs.

    Attributes:
        name: str, one of ENGINES.
        count: int, processes at once on this machine, at least 1; a cluster has a job on each core.
        address: str of a Ray cluster, "auto", "HOST:PORT" or "ray://HOST:PORT"; None for that of
            $RAY_ADDRESS, else one that this machine belongs to, else a Ray of this machine alone.

    Raises:
        ValueError: there is no such engine, `count` is below 1, or an address is given without Ray.
    """

    name: str = "local"
    count: int = 1
    address: str | None = None

    def __post_init__(self):
        if self.name not in ENGINES:
            raise ValueError(f"`engine` must be one of {ENGINES}. Received: {self.name!r}.")
        if self.count < 1:
            raise ValueError(f"`workers` must be at least 1. Received: {self.count}.")
        if self.address and self.name != "ray":
            raise ValueError(f"--address needs --engine ray. Received: {self.address}.")

    def run(
        self, function: Callable, jobs: Iterable[Any]
    ) -> Iterator[tuple[Any, Callable[[], Any]]]:
        """Calls a function with each of several jobs.

        Args:
            function: function of a job; it, the jobs and its results must pickle.
            jobs: iterable of values that differ.

        Yields:
            (job, answer) as each ends; `answer()` returns what the function did, or raises what it
            raised, or JobLost; or ValueError where the cluster cannot run it.

        Raises:
            ModuleNotFoundError: Ray is not installed.
            ValueError: no cluster answers at the address, or it has another version of Ray.
            OSError: the cluster was lost.
        """
        return (_on_ray if self.name == "ray" else _here)(self, function, jobs)


class JobLost(OSError):
    """The process of a job died; on a cluster, RETRIES times more."""


def limit_threads(count: int) -> None:
    """Limits the threads of the libraries that a job uses, some of which load later."""
    for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):  # read when they are loaded
        os.environ[name] = str(count)
    cv2.setNumThreads(count)


def _here(engine, function, jobs):
    threads = max(1, (os.cpu_count() or 1) // engine.count)
    with processes.Pool(engine.count, limit_threads, threads) as pool:
        futures = {pool.schedule(function, (job,)): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], partial(_result, future)


def _result(future):
    try:
        return future.result()
    except ProcessExpired as error:
        raise JobLost(f"its process died (exit code {error.exitcode})") from error


def _on_ray(engine, function, jobs):
    os.environ.setdefault("RAY_task_oom_retries", str(RETRIES))  # without it, for ever
    try:
        import ray
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "--engine ray needs Ray, which is not installed: `pip install ray`."
        ) from None
    started = not ray.is_initialized()
    if started:
        address = engine.address or os.environ.get("RAY_ADDRESS")
        named = {key: text for key, text in os.environ.items() if key.startswith("EMOTION_")}
        try:
            if address and address not in ("auto", "local"):  # for which Ray waits two minutes
                host, _, port = address.removeprefix("ray://").rpartition(":")
                socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
            ray.init(
                address,
                runtime_env={"env_vars": named},
                log_to_driver=False,
                logging_level="error",
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"no Ray cluster can be used at {address} ({_line(error)}); start one with "
                "`ray start --head`, of this version of Ray and of Python."
            ) from error
    remote = ray.remote(num_cpus=1, max_retries=RETRIES)(_with_one_thread)
    jobs, running = iter(jobs), {}
    try:
        while True:
            cores = int(ray.cluster_resources().get("CPU", 1))
            for job in islice(jobs, max(0, AHEAD * cores - len(running))):
                running[remote.remote(function, job)] = job
            if not running:
                return
            (done,), _ = ray.wait(list(running))
            yield running.pop(done), partial(_fetch, done)
    except ray.exceptions.RayError as error:
        raise OSError(
            f"the Ray cluster was lost ({_line(error)}); the same command goes on from here."
        ) from error
    finally:
        with suppress(ray.exceptions.RayError):
            for reference in running:  # after Ctrl-C
                ray.cancel(reference)
            if running:  # which delete what they were writing
                ray.wait(list(running), num_returns=len(running), timeout=GRACE)
        if started:
            ray.shutdown()


def _with_one_thread(function, job):
    limit_threads(1)
    return function(job)


def _fetch(reference):
    import ray

    raised = ray.exceptions
    try:
        return ray.get(reference)
    except (raised.WorkerCrashedError, raised.NodeDiedError, raised.OutOfMemoryError) as error:
        reason = f"its process died, as often as it was tried ({_line(error)})"
        raise JobLost(reason) from error
    except raised.RayError as error:
        cause = getattr(error, "cause", error)
        if isinstance(cause, (raised.RayError, ImportError)) or "failed to import" in str(cause):
            raise ValueError(
                f"the cluster cannot run the jobs ({_line(cause)}); each machine needs this "
                "version of the program."
            ) from error
        raise cause from error  # by the function


def _line(error):
    return f"{' '.join(str(error).split()):.200}"
