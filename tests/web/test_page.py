"""The web page, as a visitor has it: a real server, a real browser, a real clip."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.request
from io import StringIO
from pathlib import Path
from time import monotonic

import av
import pandas as pd
import pytest
from playwright import sync_api
from scipy.io import wavfile
from streamlit.testing.v1 import AppTest

from emotion import media, models
from emotion.data import labels

with pytest.MonkeyPatch.context() as patch:  # it reads its script without naming an encoding
    patch.setattr(Path, "read_text", lambda path, *_: path.read_bytes().decode())
    from axe_playwright_python.sync_playwright import Axe

pytestmark = [pytest.mark.slow, pytest.mark.alone]
PATIENCE = 120_000  # ms, for a model at work on a busy machine
DEVICES = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
WEB = Path(__file__).parents[2] / "emotion/web/page.py"


@pytest.fixture(scope="module")
def clip(data):
    return data / "media/one_face_short.mp4"


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    """The server's folder of temporary files."""
    return tmp_path_factory.mktemp("private")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder of runs with one in it, as a training leaves it but for its random weights."""
    preset, folder = models.preset("cnn3d_mfcc"), tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    models.build_model(preset, len(labels.RAVDESS)).save(folder / "model.keras")
    record = {"preset": preset.to_json(), "labels": labels.RAVDESS, "detector": "haar"}
    record |= {"window": 1.5, "protocol": "speaker-kfold", "fold": 0, "seed": 0}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


@contextlib.contextmanager
def serving(command, port, **environment):
    """Runs a server until the block ends; gives the page's address once it answers."""
    server = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1)
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                pytest.fail(f"it ended with {server.wait(0.1)}")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(60)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def address(run, private):
    """Where the page is served."""
    port = free_port()
    command = [sys.executable, "-m", "emotion", "web", "--model", str(run)]
    command += ["--port", str(port), "--max-mb", "2", "--max-seconds", "20"]
    command += ["--any-sound"]  # the clip's is music
    command += ["--cameras", "3"]  # a visitor who left gives a place back a moment later
    with serving(command, port, TMPDIR=str(private)) as address:
        yield address
    socket.create_server(("127.0.0.1", port)).close()  # nobody listens any longer


@pytest.fixture(scope="module")
def camera(clip, tmp_path_factory):
    """Flags of a browser whose camera and microphone are the clip."""
    folder = tmp_path_factory.mktemp("camera")
    with av.open(str(folder / "camera.mjpeg"), "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuvj420p"
        for _, frame in media.read_frames(clip, size=(360, 640)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    wavfile.write(folder / "microphone.wav", 48000, media.read_samples(clip, 48000))
    return [
        *DEVICES,
        f"--use-file-for-fake-video-capture={folder / 'camera.mjpeg'}",
        f"--use-file-for-fake-audio-capture={folder / 'microphone.wav'}",
    ]


@pytest.fixture(scope="module")
def visitors(launch, camera):
    """A browser with that camera."""
    with launch(camera) as browser:
        yield browser


@pytest.fixture
def page(visitors, address):
    """The page, opened by a visitor of its own."""
    context = visitors.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.get_by_role("heading", name="Emotion in a recording").wait_for()
    yield page
    print(page.locator("body").inner_text())  # pytest shows it where a test fails
    context.close()


def upload(page, *files):
    page.locator("input[type=file]").first.set_input_files(*files)


def until(condition):
    ends = monotonic() + PATIENCE / 1000
    while not condition():
        assert monotonic() < ends
        threading.Event().wait(0.1)


def result(page):
    page.get_by_text("Every window as a table").wait_for()
    return page.locator("video[src]").first


PLAYS = """one => new Promise((done, fail) => {
  one.ontimeupdate = () => one.currentTime > 0.2 && done(one.videoWidth)
  one.onerror = () => fail(one.error)
  setTimeout(() => fail('it does not play'), 60000)
  one.muted = true
  one.play()
})"""


def test_a_video_is_uploaded_annotated_played_and_fetched(page, clip, private, tmp_path):
    upload(page, clip)
    assert result(page).evaluate(PLAYS) > 0
    assert page.get_by_text("1 face; predictions:").count() == 1
    emotion = page.locator("p", has_text="Person 1: ").inner_text()
    assert re.fullmatch(r"Person 1: \w+, [\d.]+ of [\d.]+ s", emotion)
    broken = {item["id"] for item in Axe().run(page).response["violations"]}
    assert broken <= {"presentation-role-conflict"}  # of the framework's own
    fetched = {}
    for name in ("Annotated video", "Table (CSV)", "Subtitles (WebVTT)"):
        with page.expect_download() as download:
            page.get_by_role("button", name=name).click()
        fetched[name] = Path(tmp_path / download.value.suggested_filename)
        download.value.save_as(fetched[name])
    info = media.probe(fetched["Annotated video"])
    assert info.video and info.audio
    table = pd.read_csv(StringIO(fetched["Table (CSV)"].read_text(encoding="utf-8")))
    assert len(table) and table["track"].eq(1).all()
    assert fetched["Subtitles (WebVTT)"].read_text(encoding="utf-8").startswith("WEBVTT")
    page.get_by_role("button", name="Explain this moment").click()
    page.get_by_text("Contribution of each modality").wait_for()
    assert page.get_by_role("img", name="orange regions support the label").count() == 1
    assert list(private.glob("emotion-*")) == []


def test_files_that_cannot_be_used_are_a_sentence(page, private):
    for name, content, rule in (
        ("empty.mp4", b"", "cannot be used"),
        ("text.mp4", b"not a film", "cannot be used"),
        ("<b>..%2f..%2f[x](http:evil).mp4", b"not a film", "cannot be used"),
        ("large.mp4", bytes(3_000_000), "must be 2"),
    ):
        upload(page, {"name": name, "mimeType": "video/mp4", "buffer": content})
        page.get_by_text(rule).first.wait_for()
        assert page.get_by_text("Traceback").count() == 0
        assert str(private) not in page.content()
        assert list(private.glob("emotion-*")) == []
        page.get_by_role("button", name="Remove").click()
        page.get_by_text(rule).wait_for(state="hidden")


def test_a_sound_is_put_to_a_silent_video(page, data, clip, tmp_path):
    wavfile.write(tmp_path / "sound.wav", 22050, media.read_samples(clip, 22050))
    silent = tmp_path / "silent.mp4"
    with media.VideoWriter(silent, rate=media.probe(clip).rate) as writer:
        for time, frame in media.read_frames(clip, size=(180, 320)):
            writer.write(frame, time)
    page.locator("input[type=file]").nth(1).set_input_files(tmp_path / "sound.wav")
    page.get_by_text("Add the video that this sound belongs to").wait_for()
    upload(page, silent)
    result(page)
    assert page.get_by_text("from sound and face").count() == 1


def test_a_visitor_who_leaves_leaves_nothing(visitors, address, data, private):
    context = visitors.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    upload(page, data / "media/one_face.mp4")
    page.get_by_text("Analysing").wait_for()
    until(lambda: len(list(private.glob("emotion-*"))) == 1)  # a rerun may begin the work again
    context.close()
    until(lambda: not list(private.glob("emotion-*")))


def test_a_visitor_changes_the_mind(page, data):
    page.get_by_role("heading", name="Limits").wait_for()  # all of it is there
    page.get_by_role("button", name="Or try a sample").click()
    shown = result(page).get_attribute("src")
    upload(page, data / "media/one_face.mp4")
    page.get_by_text("Analysing").wait_for()
    page.get_by_role("button", name="Remove one_face.mp4").click()
    page.get_by_text("Analysing").wait_for(state="hidden")
    assert page.get_by_test_id("stException").count() == 0
    assert result(page).get_attribute("src") == shown
    upload(page, {"name": "text.mp4", "mimeType": "video/mp4", "buffer": b"not a film"})
    page.get_by_text("cannot be used").wait_for()
    page.get_by_role("button", name="Remove text.mp4").click()
    page.get_by_text("cannot be used").wait_for(state="hidden")
    assert result(page).get_attribute("src") == shown


def test_a_visitor_records(page):
    page.get_by_text("Or record with this browser").click()
    page.get_by_role("button", name="Record").click()
    page.get_by_text("Recording, for 20 seconds").wait_for()
    shown = page.get_by_label("Your camera")
    shown.evaluate(
        "one => new Promise(done => one.ontimeupdate = () => one.currentTime > 3 && done())"
    )
    live_button(page, "Stop").click()
    recorded = result(page)
    assert recorded.evaluate(PLAYS) > 0
    assert page.get_by_text("from sound and face").count() == 1
    shown = recorded.get_attribute("src")
    page.get_by_role("button", name="Or try a sample").click()
    sync_api.expect(recorded).not_to_have_attribute("src", shown, timeout=PATIENCE)
    result(page)


def live_button(page, name):
    """A button of the page; Streamlit's header has a Stop of its own while the page runs."""
    return page.get_by_test_id("stTabs").get_by_role("button", name=name)


def go_live(page):
    """Presses Start, at once, and returns the canvas that shows what comes back."""
    page.get_by_role("tab", name="Live").click()
    live_button(page, "Start").click()
    shown = page.get_by_role("img", name="The camera with")
    shown.wait_for()
    return shown


NEXT = """(one, before) => new Promise((done, fail) => {
  const look = () => one.toDataURL() === before ? requestAnimationFrame(look) : done(one.width)
  setTimeout(() => fail('it stands still'), 60000)
  look()
})"""


def moves(shown):
    """Waits until another picture is there; returns its width."""
    return shown.evaluate(NEXT, shown.evaluate("one => one.toDataURL()"))


def test_a_visitor_goes_live(page):
    shown = go_live(page)
    assert moves(shown) == 640
    page.get_by_text("%, from sound and face").first.wait_for()
    live_button(page, "Stop").click()
    live_button(page, "Start").wait_for()
    shown.wait_for(state="hidden")
    go_live(page)  # and again
    page.get_by_text("%, from sound and face").first.wait_for()


HOLD = """() => {
  const create = createImageBitmap
  window.createImageBitmap = (blob) => new Promise((done) => {
    window.release = async () => { done(await create(blob)); window.released = true }
  })
}"""


def test_a_picture_that_comes_after_stop_is_not_shown(page):
    shown = go_live(page)
    page.evaluate(HOLD)
    page.wait_for_function("() => window.release")
    live_button(page, "Stop").click()
    live_button(page, "Start").wait_for()
    page.evaluate("() => window.release()")
    page.wait_for_function("() => window.released")
    page.evaluate("() => new Promise(requestAnimationFrame)")
    assert shown.is_hidden()


def test_live_goes_on_while_the_page_runs_anew(page, clip):
    shown = go_live(page)
    page.get_by_role("tab", name="A recording").click()
    upload(page, clip)
    result(page)
    page.get_by_role("tab", name="Live").click()
    assert moves(shown) == 640
    page.get_by_text("%, from sound and face").first.wait_for()
    live_button(page, "Stop").wait_for()


def test_it_runs_without_arguments(visitors, run):
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(WEB), "--server.headless=true"]
    command += [f"--server.port={port}", "--server.address=127.0.0.1"]
    with serving(command, port, EMOTION_RUNS=str(run.parent)) as address:
        with contextlib.closing(visitors.new_context()) as context:
            page = context.new_page()
            page.set_default_timeout(PATIENCE)
            page.goto(address)
            page.get_by_text("At most 200 MB and 300 seconds").wait_for()
            go_live(page)


def test_without_a_run_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOTION_RUNS", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(WEB)])
    page = AppTest.from_file(str(WEB), default_timeout=PATIENCE / 1000).run()
    (text,) = page.error
    assert "no model to work with" in text.value and "train_model.py" in text.value
    assert not page.exception


def test_it_fits_a_phone_and_another_visitor_sees_none_of_it(page, visitors, address, clip):
    context = visitors.new_context(viewport={"width": 390, "height": 844})
    phone = context.new_page()
    phone.set_default_timeout(PATIENCE)
    phone.goto(address)
    upload(phone, clip)
    result(phone)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()
    page.get_by_role("heading", name="Limits").wait_for()
    assert page.get_by_text("predictions:").count() == 0
