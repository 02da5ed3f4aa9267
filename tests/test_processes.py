"""Process pools: a worker that dies, single calls, and what ends with what."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
from pebble import ProcessExpired

from emotion import processes


def die(code):
    os._exit(code)


def fail(text):
    raise ValueError(text)


def slow_first(number):
    time.sleep(0.3 * (number == 0))
    return number, os.getpid()


def test_no_worker_for_a_count_of_zero():
    with processes.pool(0) as pool:
        assert pool is None
    with pytest.raises(ValueError, match="`workers` must be at least 0.*-1"):
        processes.pool(-1)


@pytest.mark.slow
def test_a_pool_survives_a_worker_that_dies():
    with processes.pool(1) as pool:
        died = pool.schedule(die, (3,))
        after = pool.schedule(os.getpid)
        with pytest.raises(ProcessExpired) as caught:
            died.result()
        assert caught.value.exitcode == 3 and after.result() != os.getpid()
        with pytest.raises(ValueError, match="text"):
            pool.schedule(fail, ("text",)).result()


@pytest.mark.slow
def test_results_come_in_the_order_of_the_items():
    with processes.pool(2) as pool:
        numbers, ids = zip(*pool.map(slow_first, range(6)).result())
    assert numbers == tuple(range(6)) and os.getpid() not in ids


@pytest.mark.slow
def test_a_single_call_runs_in_another_process():
    assert processes.apart(os.getpid) != os.getpid()
    assert processes.apart(os.getenv, "COLOUR", initializer=set_colour) == "red"
    with pytest.raises(ValueError, match="text"):
        processes.apart(fail, "text")
    with pytest.raises(OSError, match="killed, perhaps for lack of memory"):
        processes.apart(die, 9)


def load_marker(path):
    """Leaves a mark in a file for each process that has loaded; returns how many have."""
    with open(path, "a", encoding="utf-8") as file:
        file.write("x")
    return os.path.getsize(path)


def hang(loaded, report):
    while True:
        pass


def process_of(loaded, report):
    return loaded, os.getpid()


def test_a_killed_worker_is_replaced_before_the_next_call(tmp_path):
    stages = []

    def end(stage, done, total):
        stages.append(stage)
        if stage != processes.LOADING:
            raise TimeoutError("too long")

    marks = tmp_path / "marks"
    with processes.Worker(partial(load_marker, marks)) as worker:
        loaded, first = worker.call(process_of)
        with pytest.raises(TimeoutError, match="too long"):
            worker.call(hang, watch=end)
        second = worker.call(process_of)
        assert (loaded, second[0], stages) == (1, 2, [""]) and second[1] != first
        os.kill(second[1], signal.SIGKILL)
        while second[1] in {process.pid for process in multiprocessing.active_children()}:
            pass
        assert worker.call(process_of)[1] not in (first, second[1])


def test_a_worker_whose_load_fails_says_so_at_each_call():
    with processes.Worker(partial(fail, "no model")) as worker:
        for _ in range(2):
            with pytest.raises(ValueError, match="no model"):
                worker.call(process_of)


def set_colour():
    os.environ["COLOUR"] = "red"


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them():
    script = (
        "import os\n"
        "from emotion import processes\n"
        "if __name__ == '__main__':\n"
        "    pool = processes.pool(1)\n"
        "    print(pool.schedule(os.getpid).result(), flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert int(parent.stdout.readline()) != parent.pid
    # The worker holds the other end of stdout: the read ends when the last of them is gone.
    assert parent.stdout.read() == "" and parent.wait() == -9
