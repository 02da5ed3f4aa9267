"""`python -m emotion serve`, or `web`, in a process of its own, and requests to it."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def resident(process):
    """float, MB of a process."""
    text = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1000


class Server:
    """The server of a run; its temporary files lie in the folder `private`."""

    def __init__(self, run, folder, *arguments, command="serve"):
        self.command = command
        self.private = folder / "private"
        self.private.mkdir()
        command = [sys.executable, "-m", "emotion", self.command, "--model", str(run)]
        environment = os.environ | {"TMPDIR": str(self.private), "PYTHONPATH": str(ROOT)}
        with open(folder / "log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [*command, "--port", "0", *arguments], stdout=subprocess.PIPE, stderr=log,
                text=True, env=environment, encoding="utf-8",
            )  # fmt: skip
        self.log = folder / "log"
        self.address = self.process.stdout.readline().split()[0]
        self.port = int(re.search(r":(\d+)/", self.address)[1])
        self.said = []  # read as it comes: a full pipe would stop the server
        self._reader = threading.Thread(target=self.said.extend, args=[self.process.stdout])
        self._reader.start()

    def open(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def get(self, path, **headers):
        """The status and the text of an answer."""
        connection = self.open()
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def begin(self, path, content, length=None):
        """Sends a request; returns the connection, the answer not read."""
        head = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
        body = head.encode() + content + b"\r\n--b--\r\n"
        connection = self.open()
        connection.putrequest("POST", path)
        connection.putheader("Content-Type", "multipart/form-data; boundary=b")
        connection.putheader("Content-Length", str(length or len(body)))
        connection.endheaders(body)
        return connection

    def post(self, path, content):
        answer = self.begin(path, content).getresponse()
        return answer.status, answer.read()

    def settle(self, content):
        """Sends a recording until the spare process has loaded; returns the answer, and MB."""
        sizes = []
        for _ in range(400):
            answer = self.post("/predict", content)
            sizes.append(self.resident())
            if len(sizes) >= 20 and max(sizes[-20:]) - min(sizes[-20:]) < 1:
                return answer, sizes[-1]
        raise AssertionError(f"its memory does not settle: {sizes[-20:]}")

    def waiting(self):
        return json.loads(self.get("/health")[1])["waiting"]

    def wait(self, count):
        limit = time.monotonic() + 60
        while self.waiting() != count:
            assert time.monotonic() < limit, self.get("/health")

    def processes(self):
        """The server, and the processes that it has started for work: list of int."""
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        started = [
            int(pid) for path in children for pid in path.read_text(encoding="utf-8").split()
        ]
        commands = {
            pid: Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8") for pid in started
        }
        return [self.process.pid, *(pid for pid in commands if "spawn_main" in commands[pid])]

    def resident(self):
        """float, MB of all its processes."""
        return sum(map(resident, self.processes()))

    def left(self):
        """What lies in the temporary folder, or is held open there without a name."""
        held = []
        for path in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed since it was listed
                held.append(os.readlink(path))
        return [*self.private.iterdir(), *(path for path in held if str(self.private) in path)]

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdout.close()
