"""Downloads against a server on 127.0.0.1 that answers as Zenodo does."""

import hashlib
import io
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pooch.downloaders import ZenodoRepository

from emotion.data import download
from emotion.data.corpora import ravdess


def archive(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, f"content of {name}")
    return buffer.getvalue()


AUDIO = "Audio_Speech_Actors_01-24.zip"
VIDEO = "Video_Speech_Actor_02.zip"
FILES = {
    AUDIO: archive(
        "Actor_01/03-01-01-01-01-01-01.wav",
        "Actor_02/03-01-01-01-01-01-02.wav",
        "../../03-01-02-01-01-01-02.wav",
        "../../evil.txt",
        "/tmp/evil.wav",
    ),
    VIDEO: archive("Actor_02/01-01-01-01-01-01-02.mp4", "Actor_02/02-01-01-01-01-01-02.mp4"),
}


class Zenodo:
    """A record on 127.0.0.1; `first` maps a file to what its first requests answer instead."""

    def __init__(self):
        self.first, self.requests, self.record = {}, [], None
        zenodo = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                zenodo.requests.append(self.path)
                name = self.path.split("/")[-2] if self.path.endswith("/content") else None
                body = zenodo.listing() if name is None else FILES[name]
                if zenodo.first.get(name):
                    body = zenodo.first[name].pop(0)
                self.send_response(200)
                self.send_header("Content-Length", len(body))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def listing(self):
        if self.record is not None:
            return self.record
        files = [
            {
                "key": name,
                "checksum": "md5:" + hashlib.md5(body).hexdigest(),
                "links": {"self": f"{self.url}/api/records/1188976/files/{name}/content"},
            }
            for name, body in FILES.items()
        ]
        return json.dumps({"id": 1188976, "files": files}).encode()

    def repository(self):
        record = ZenodoRepository(download.DOI, f"{self.url}/records/1188976")
        record.base_api_url = f"{self.url}/api/records"
        return record

    def fetched(self):
        return [path.split("/")[-2] for path in self.requests if path.endswith("/content")]


@pytest.fixture
def zenodo():
    zenodo = Zenodo()
    yield zenodo
    zenodo.server.shutdown()
    zenodo.server.server_close()


def tree(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def fetch(zenodo, output, actors=("02",), audio_only=True):
    return download.ravdess(actors, audio_only, output, record=zenodo.repository())


def test_layout_and_nothing_outside_it(zenodo, tmp_path):
    output = tmp_path / "deep" / "dataset"
    added = fetch(zenodo, output, audio_only=False)
    assert tree(tmp_path) == [
        "deep/dataset/Audio_Speech_Actors_01-24/Actor_02/03-01-01-01-01-01-02.wav",
        "deep/dataset/Audio_Speech_Actors_01-24/Actor_02/03-01-02-01-01-01-02.wav",
        "deep/dataset/Video_Speech_Actor_02/Actor_02/01-01-01-01-01-01-02.mp4",
        "deep/dataset/Video_Speech_Actor_02/Actor_02/02-01-01-01-01-01-02.mp4",
    ]
    assert len(added) == 2 and not (output / ".archives").exists()
    first, _ = ravdess.clips(output)
    assert first.audio.suffix == ".wav" and first.video.name.startswith("01-")


def test_what_is_there_is_not_fetched_again(zenodo, tmp_path):
    fetch(zenodo, tmp_path)
    requests = list(zenodo.requests)
    assert fetch(zenodo, tmp_path) == [] and zenodo.requests == requests
    (stored,) = tmp_path.rglob("03-01-01-01-01-01-02.wav")
    stored.write_text("the user's own", encoding="utf-8")
    assert len(fetch(zenodo, tmp_path, actors=("01", "02"))) == 1
    assert stored.read_text(encoding="utf-8") == "the user's own"


def test_a_corrupt_answer_is_fetched_again(zenodo, tmp_path):
    good = FILES[AUDIO]
    zenodo.first = {AUDIO: [good[:-1] + b"?"]}
    assert len(fetch(zenodo, tmp_path)) == 1
    assert zenodo.fetched() == [AUDIO, AUDIO]
    assert len(tree(tmp_path)) == 2


def test_a_truncated_local_archive_is_fetched_again(zenodo, tmp_path):
    (tmp_path / ".archives").mkdir()
    (tmp_path / ".archives" / AUDIO).write_bytes(FILES[AUDIO][:100])
    assert len(fetch(zenodo, tmp_path)) == 1
    assert zenodo.fetched() == [AUDIO] and len(tree(tmp_path)) == 2


def test_a_whole_local_archive_is_not_fetched(zenodo, tmp_path):
    (tmp_path / ".archives").mkdir()
    (tmp_path / ".archives" / AUDIO).write_bytes(FILES[AUDIO])
    assert len(fetch(zenodo, tmp_path)) == 1 and zenodo.fetched() == []


def test_always_corrupt_is_an_error_and_leaves_no_clip(zenodo, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_ATTEMPTS_AGAIN", 1)
    zenodo.first = {AUDIO: [b"broken"] * 2}
    with pytest.raises(ValueError, match="hash"):
        fetch(zenodo, tmp_path)
    assert tree(tmp_path) == []


def test_an_interrupted_unpacking_is_done_again(zenodo, tmp_path):
    partial = tmp_path / "Audio_Speech_Actors_01-24" / ".Actor_02.partial"
    partial.mkdir(parents=True)
    (partial / "03-01-08-01-01-01-02.wav").write_text("half", encoding="utf-8")
    fetch(zenodo, tmp_path)
    assert len(tree(tmp_path)) == 2 and not partial.exists()


def test_errors(zenodo, tmp_path):
    with pytest.raises(ValueError, match="speech, song or all"):
        download.ravdess(channel="talk", output=tmp_path, record=zenodo.repository())
    with pytest.raises(ValueError, match="holds no file of actor 03"):
        fetch(zenodo, tmp_path, actors=("03",))
    zenodo.record = b'{"message": "overloaded"}'
    with pytest.raises(ConnectionError, match="without a list of files"):
        fetch(zenodo, tmp_path)


def test_plan_of_the_whole_corpus():
    plan = download._plan(ravdess.ACTORS, audio_only=False, channel="all")
    assert len(plan) == 2 + 24 + 23 and "Video_Song_Actor_18" not in plan
    assert len(plan["Audio_Song_Actors_01-24"]) == 23
