"""Engines: each job is answered once, here and on a cluster that loses a machine."""

import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from emotion.engines import ENGINES, RETRIES, Engine, JobLost

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    """Three nodes of Ray on this machine, with a core each."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    import ray

    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.machines = [cluster.add_node(num_cpus=1) for _ in range(2)]
    environment = {"env_vars": {"PYTHONPATH": str(Path(__file__).parent)}}
    options = {"log_to_driver": False, "logging_level": "error", "runtime_env": environment}
    ray.init(cluster.address, **options)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def work(job, folder):
    """Leaves a mark for each time a job is begun; the later ones wait until they may go on."""
    with open(folder / f"{job}.begun", "a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    if job == "bad":
        raise ValueError("a bad job")
    if job == "deadly":
        os._exit(7)
    while int(job) >= 4 and not (folder / "go").exists():
        pass
    return 2 * int(job)


def begun(path):
    """The processes that have begun a job: list of int."""
    return [int(line) for line in path.read_text(encoding="utf-8").splitlines()]


def lives(pid):
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


def answers(engine, jobs, folder, after=lambda job: None):
    """A dict of each job to what came of it; asserts that none is answered twice."""
    result = {}
    for job, answer in engine.run(partial(work, folder=folder), jobs):
        assert job not in result
        try:
            result[job] = answer()
        except (ValueError, JobLost) as error:
            result[job] = error
        after(job)
    return result


@pytest.mark.parametrize("name", ENGINES)
def test_each_job_is_answered_once_whatever_becomes_of_the_others(cluster, tmp_path, name):
    (tmp_path / "go").touch()
    jobs = [*map(str, range(6)), "bad", "deadly"]
    result = answers(Engine(name, 2), jobs, tmp_path)
    assert {job: result[job] for job in jobs[:6]} == {str(i): 2 * i for i in range(6)}
    assert type(result["bad"]) is ValueError and str(result["bad"]) == "a bad job"
    assert isinstance(result["deadly"], JobLost) and "its process died" in str(result["deadly"])
    assert len(begun(tmp_path / "bad.begun")) == 1
    assert len(begun(tmp_path / "deadly.begun")) == (1 + RETRIES if name == "ray" else 1)


def test_a_machine_that_is_lost_costs_no_job(cluster, tmp_path):
    finished = []

    def lose(job):
        finished.append(job)
        if len(finished) == 4:
            while len(list(tmp_path.glob("*.begun"))) < 7:  # one waits on each machine
                pass
            cluster.remove_node(cluster.machines.pop(), allow_graceful=False)
            while all(lives(pid) for path in tmp_path.glob("*.begun") for pid in begun(path)):
                pass
            (tmp_path / "go").touch()

    result = answers(Engine("ray"), map(str, range(16)), tmp_path, lose)
    assert result == {str(i): 2 * i for i in range(16)}
    counts = [len(begun(tmp_path / f"{job}.begun")) for job in finished]
    assert counts[:4] == [1, 1, 1, 1] and sum(counts) == 17  # one of the others was lost


def test_jobs_are_handed_out_as_others_end(cluster, tmp_path):
    (tmp_path / "go").touch()
    taken = []

    def jobs():
        for i in range(40):
            taken.append(i)
            yield str(i)

    ahead = [
        len(taken) - i
        for i, _ in enumerate(Engine("ray").run(partial(work, folder=tmp_path), jobs()))
    ]
    assert max(ahead) <= 8 and len(taken) == 40


def test_ctrl_c_cancels_the_jobs_and_leaves_no_parts(data, tmp_path):
    folder, output = tmp_path / "clips", tmp_path / "out"
    folder.mkdir()
    for i in range(4):
        shutil.copy(data / "media/one_face.mp4", folder / f"{i}.mp4")
    command = [sys.executable, "run_inference.py", "--video_path", folder, "--output", output]
    command += ["--engine", "ray", "--model", ROOT / "saved_models/starter"]
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    while not list(output.glob(".*.part.mp4")):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "goes on from here" in error, error[-1000:]
    assert "Traceback" not in error and not list(output.glob(".*"))


def test_what_cannot_be_is_refused(monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(ValueError, match="no Ray cluster can be used at 127.0.0.1:1 .*ray start"):
        list(Engine("ray", address="127.0.0.1:1").run(Path, []))
    with pytest.raises(ValueError, match="needs --engine ray. Received: auto"):
        Engine(address="auto")
    with pytest.raises(ValueError, match="`engine` must be one of"):
        Engine("slurm")
    with pytest.raises(ValueError, match="`workers` must be at least 1. Received: 0"):
        Engine(count=0)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError, match="`pip install ray`"):
        list(Engine("ray").run(Path, []))
