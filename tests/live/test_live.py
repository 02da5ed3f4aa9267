"""Live: sources at their pace, windows, threads, recording and the command; no device is needed."""

import heapq
import itertools
import sys
import threading
from operator import itemgetter
from types import SimpleNamespace

import numpy as np
import pytest
from stub import white_square
from videos import onset, tone, write_video

import run_inference
from emotion import media
from emotion.annotate import render
from emotion.cli import live as live_command
from emotion.clip import MediaError, Prediction
from emotion.inference.windows import PATIENCE, Windows
from emotion.live import sources
from emotion.live.player import Player, Recorder, lines
from emotion.live.session import Scene, Session

LABELS = ("neutral", "happy", "sad")
NTSC = np.arange(90) * 1001 / 30000
WHITE = np.full((240, 320, 3), 255, np.uint8)
SHARES = np.array([0.1, 0.7, 0.2], np.float32)


class Stub:
    """A recogniser that says "happy" where it hears and sees, "sad" where it only hears."""

    labels, window, sample_rate, crop_size, crop_margin = LABELS, 1.2, 16000, 32, 0.2

    def __init__(self, modality="both"):
        self.preset, self.signals = SimpleNamespace(modality=modality), []
        self.detector = None if modality == "audio" else white_square

    def spoken(self, samples):
        return samples

    def threshold(self, signal):
        return 0.0

    def predict(self, signals):
        self.signals += signals
        which = [s.has_audio * (1 if s.has_face else 2) for s in signals]
        return np.eye(3, dtype=np.float32)[which] * 0.7 + 0.1


def draw(i):
    """A white square that moves to the right."""
    image = np.full((240, 320, 3), 60, np.uint8)
    image[60:140, 20 + 2 * i : 100 + 2 * i] = 255
    return image


class Clock:
    """Time that passes only where someone waits for it."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds


class Screen:
    """A display that keeps what it is shown and presses `keys`, {picture: key}."""

    def __init__(self, keys=None):
        self.keys, self.frames, self.closed = keys or {}, [], False

    def show(self, frame):
        self.frames.append(frame)
        return self.keys.get(len(self.frames), "")

    def close(self):
        self.closed = True


class Replay:
    """A source that gives what it is told, at once; then it raises `error`, or ends."""

    rate = 30.0

    def __init__(self, items, error=None):
        self.items, self.error = items, error

    def read(self, start):
        yield from self.items
        if self.error:
            raise self.error


@pytest.fixture
def clip(tmp_path):
    """Path of a 3 s film with clicks at 1 s and 2 s."""
    sound = tone(3, clicks=(1.0, 2.0)), 16000
    return write_video(tmp_path / "in.mp4", NTSC, size=(320, 240), draw=draw, sound=sound)


def fed(path, recognizer, window, hop):
    """The windows of a file whose pictures and sound are taken as they come."""
    clock = Clock()
    camera, microphone = sources.open_both(str(path), None, 16000, clock, clock.wait)
    events = [(time, "picture", frame) for time, frame in camera.read(clock.now)]
    clock.now = 100.0
    events += [(t + len(block) / 16000, "sound", block) for t, block in microphone.read(100.0)]
    windows, due, full = Windows(recognizer, window, hop, ("picture", "sound")), 0.0, []
    for time, kind, value in sorted(events, key=lambda event: event[0]):
        if kind == "picture":
            value, due = (value, (time // (1 / 6) + 1) / 6) if time + 1e-6 >= due else (None, due)
        else:
            time -= len(value) / 16000
        full += windows.take(kind, time, value)
    return full, windows


def test_files_come_at_separate_pace(clip):
    clock = Clock()
    camera, microphone = sources.open_both(str(clip), None, 16000, clock, clock.wait)
    assert camera.rate == pytest.approx(29.97, abs=0.1)
    clock.now = start = 107.0
    for (time, frame), expected in zip(camera.read(start), NTSC, strict=True):
        assert time == pytest.approx(expected, abs=1e-4)
        assert clock.now - start == pytest.approx(time, abs=1e-9)
        assert frame.shape == (240, 320, 3)
    clock.now = start
    has_audio = 0
    for time, block in microphone.read(start):
        assert time == has_audio / 16000
        has_audio += len(block)
        assert clock.now - start == pytest.approx(has_audio / 16000)  # not before it is all there
    assert has_audio == pytest.approx(48000, abs=1100)


def test_a_reader_that_is_late_is_not_made_to_wait(clip):
    clock = Clock()
    camera = sources.open_camera(str(clip), clock, clock.wait)
    frames = camera.read(clock.now)
    next(frames)
    clock.now += 1.0
    for _ in range(20):
        next(frames)
    assert clock.now == 101.0


def test_live_says_what_the_annotation_of_the_file_says(clip):
    offline, live = Stub(), Stub()
    timeline = render.analyse(clip, offline, window=1.2, hop=0.4)
    full, _ = fed(clip, live, 1.2, 0.4)
    assert len(full) >= 4
    for (start, end, result), prediction, other in zip(
        full, timeline.predictions, offline.signals, strict=False
    ):
        ((number, signal),) = result
        assert (start, end) == pytest.approx((prediction.start, prediction.end))
        assert number == prediction.track == 1
        np.testing.assert_array_equal(signal.samples, other.samples)
        # Offline skips what the decoder can skip, so it looks at other pictures.
        assert abs(len(signal.times) - len(other.times)) <= 1


def test_a_window_waits_for_the_modality_behind_but_not_for_ever():
    windows = Windows(Stub(), 1.0, 0.5, ("picture", "sound"))
    for i in range(7):
        assert windows.take("picture", i / 6, WHITE) == []
    assert windows.take("sound", 0.0, tone(0.5)) == []
    ((start, end, ((_, signal),)),) = windows.take("sound", 0.5, tone(0.5))
    assert (start, end) == (0, 1) and signal.has_audio and signal.has_face
    assert windows.take("picture", 1.5 + PATIENCE - 0.01, None) == []
    ((start, _, ((_, signal),)),) = windows.take("picture", 1.5 + PATIENCE, None)
    assert start == 0.5 and len(signal.samples) == 16000


def test_sound_after_a_stall_keeps_its_time():
    windows = Windows(Stub(), 1.0, 0.5, ("picture", "sound"))
    windows.take("sound", 0.0, tone(0.5))
    for i in range(37):
        windows.take("picture", i / 6, WHITE[:24, :32])
    full = windows.take("sound", 0.5, tone(7.5, clicks=(6.3,)))  # silence for what was lost
    full += windows.take("picture", 8.0, None)
    has_audio = {start: signal.samples for start, _, ((_, signal),) in full}
    for start in (6.0, 6.5):
        assert onset(has_audio[start], 16000) == pytest.approx(6.8 - start, abs=0.001)


def test_what_is_stored_does_not_grow():
    windows = Windows(Stub(), 1.0, 0.5, ("picture", "sound"))
    sizes = []
    for i in range(3000):
        windows.take("picture", i / 6, WHITE[:24, :32])
        windows.take("sound", i / 6, np.zeros(16000 // 6, np.float32))
        recent = windows._recent
        sizes.append((len(recent.samples), len(recent.faces._detections), len(recent.times)))
    assert (np.max(sizes[1500:], axis=0) <= np.max(sizes[500:1500], axis=0)).all()
    assert np.max(sizes, axis=0)[0] < 2 * 16000


def test_a_face_missed_at_a_look_stays_and_one_visible_once_is_none():
    windows = Windows(Stub(), 1.0, 0.5, ("picture",))
    shown = []
    for i, there in enumerate((1, 0, 1, 1, 0, 0, 0, 0)):
        windows.take("picture", i / 6, WHITE * there)
        shown.append(list(windows.boxes))
    assert shown == [[], [], [1], [1], [1], [1], [1], []]


def test_sound_with_a_gap_keeps_its_time():
    blocks = [(0.04, tone(0.5)), (0.55, tone(0.5)), (1.50, tone(0.5, clicks=(0.1,)))]
    session = Session(Stub(), None, Replay(blocks), window=1.0)
    with session:
        sound = [(time, value) for kind, time, value in session.events() if kind == "sound"]
    samples = np.concatenate([value for _, value in sound])
    assert onset(samples, 16000) == pytest.approx(1.6, abs=0.02)
    assert len(samples) == 32000
    assert [time for time, _ in sound] == pytest.approx([0, 0.54, 1.04], abs=1e-3)


def test_pictures_go_on_while_a_prediction_runs():
    recognizer, release = Stub(), threading.Event()
    predict = recognizer.predict

    def slow(signals):
        if threading.current_thread() is not threading.main_thread():  # warming up is not meant
            assert release.wait(30)
        return predict(signals)

    recognizer.predict = slow
    has_face = []

    def camera():
        for i in range(90):
            while session._offered > session._taken:  # at the pace of who displays
                pass
            yield i / 30, np.full((24, 32, 3), 255, np.uint8)

    session = Session(recognizer, Replay(camera()), None, window=0.5, hop=0.1)
    with session:
        for kind, time, _ in session.events():
            has_face.append(kind)
            if kind == "picture" and time > 2.9:
                release.set()
    assert has_face.index("prediction") > 85  # none came back, and the pictures went on
    assert session.skipped > 15


def test_the_newest_picture_counts_where_the_display_is_slow():
    frames = [(i / 30, np.zeros((24, 32, 3), np.uint8)) for i in range(50)]
    session = Session(Stub(), Replay(frames), None, window=1.0)
    with session:
        for thread in session._threads:
            thread.join()  # nothing is displayed meanwhile
        shown = [time for kind, time, _ in session.events() if kind == "picture"]
    assert len(shown) == 3 and session.lost == 47


def test_a_session_ends_with_its_camera():
    blocks = ((i / 20, tone(0.05)) for i in range(500))
    session = Session(Stub(), Replay([(0.0, WHITE)]), Replay(paced(blocks, 100)))
    with session:
        kinds = {kind for kind, *_ in session.events()}
    assert "picture" in kinds and next(blocks, None) is not None
    assert not any(thread.is_alive() for thread in session._threads)


def test_a_source_that_breaks_off_is_said():
    error = MediaError("The camera 0 stopped giving pictures; plug it in again.")
    camera = Replay([(0.0, np.zeros((24, 32, 3), np.uint8))], error)
    session = Session(Stub(), camera, None)
    with pytest.raises(MediaError, match="stopped"):
        Player(session, Screen()).run()
    assert not any(thread.is_alive() for thread in session._threads)


@pytest.mark.parametrize("modality", ["audio", "video"])
def test_a_run_of_one_modality_uses_that_alone(modality):
    recognizer = Stub(modality)
    frames = [(i / 30, np.full((240, 320, 3), 255, np.uint8)) for i in range(60)]
    blocks = [(i / 20, tone(0.05)) for i in range(40)]
    session = Session(recognizer, Replay(frames), Replay(blocks), window=0.5)
    assert session.kinds == (("sound",) if modality == "audio" else ("picture",))
    missing = {"audio": (Replay(frames), None), "video": (None, Replay(blocks))}[modality]
    with pytest.raises(ValueError, match="--(microphone|camera)"):
        Session(recognizer, *missing)


def test_a_run_of_action_units_alone_is_for_recordings():
    recognizer = Stub("video")
    recognizer.detector = None
    with pytest.raises(ValueError, match="action units alone.*--features"):
        Session(recognizer, Replay([]), Replay([]))


def test_scene_says_what_is_missing():
    positions = []
    scene = Scene(SimpleNamespace(kinds=("picture", "sound"), faces=lambda time: positions))
    assert scene.at(0.0) == ([], "no face")
    scene.predicted([Prediction(0, 1, LABELS, SHARES, has_audio=True, has_face=False)])
    ((face,), note) = scene.at(0.1)
    assert face.name == "no face: from sound alone" and face.box is None and note is None
    positions += [(1, np.zeros(4)), (2, np.ones(4))]
    scene.predicted([Prediction(0, 1, LABELS, SHARES, False, True, track) for track in (1, 2)])
    labelled = [[face.probabilities is not None for face in scene.at(0.2)[0]] for _ in range(3)]
    assert labelled == [[True, False], [True, True], [True, True]]  # a chart a picture
    assert scene.at(0.3)[1] == "from the picture alone"


def test_recording_has_picture_sound_and_their_times(clip, tmp_path):
    clock, out = Clock(), tmp_path / "out.mp4"
    camera, microphone = sources.open_both(str(clip), None, 16000, clock, clock.wait)
    recorder = Recorder(out, 0.52, 16000, say=lambda text: None)
    pictures = (
        (time, recorder.add_frame, frame) for time, frame in camera.read(100.0) if time >= 0.52
    )
    blocks = ((time, recorder.add_sound, block) for time, block in microphone.read(100.0))
    for time, take, value in heapq.merge(pictures, blocks, key=itemgetter(0)):
        take(time, value)
    recorder.end()
    recorder.join()
    info = media.probe(out)
    assert info.duration == pytest.approx(2.5, abs=0.1)
    times = [time for time, _ in media.read_frames(out)]
    assert np.diff(times) == pytest.approx(1001 / 30000, abs=1e-4)
    assert onset(media.read_samples(out, 16000), 16000) == pytest.approx(1.0 - NTSC[16], abs=0.005)


@pytest.mark.parametrize("stalled", [False, True])
def test_recording_goes_on_where_the_sound_ends_or_stalls(tmp_path, monkeypatch, stalled):
    monkeypatch.setattr(Recorder, "WAITING", 200)  # the machine may be busy
    recorder = Recorder(tmp_path / "out.mp4", 0.0, 16000, say=lambda text: None)
    for i in paced(range(120), 100):  # ten times as fast as it is played
        recorder.add_frame(i / 10, WHITE[:48, :64])
        if i < 10:
            recorder.add_sound(i / 10, tone(0.1))
        if i == 80 and stalled:
            recorder.add_sound(1.0, tone(7.1, clicks=(7.05,)))  # silence for what was lost
    recorder.end()
    recorder.join()
    assert len(list(media.read_frames(tmp_path / "out.mp4"))) == 120
    samples = media.read_samples(tmp_path / "out.mp4", 16000)
    assert len(samples) / 16000 == pytest.approx(11.9 - recorder.LATE, abs=0.1)
    assert onset(samples, 16000) == pytest.approx(8.05 if stalled else 0, abs=0.01)


def test_recording_without_sound_and_to_no_place(tmp_path):
    said = []
    recorder = Recorder(tmp_path / "out.mp4", 0.0, None, said.append)
    recorder.add_frame(0.0, WHITE)
    recorder.end()
    recorder.join()
    assert not media.probe(tmp_path / "out.mp4").audio and "out.mp4" in said[0]
    recorder = Recorder(tmp_path / "none" / "out.mp4", 0.0, 16000, said.append)
    recorder.end()
    with pytest.raises(MediaError, match="cannot be written"):
        recorder.join()
    assert len(said) == 1 and [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_keys_record_and_quit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames = ((i / 30, WHITE // 4) for i in itertools.count())
    blocks = ((i / 20, tone(0.05)) for i in itertools.count())
    screen, said, recorded = Screen({5: "r", 25: "r", 40: "q"}), [], []
    add_frame = Recorder.add_frame
    monkeypatch.setattr(
        Recorder,
        "add_frame",
        lambda self, *picture: (recorded.append(picture), add_frame(self, *picture)),
    )
    session = Session(Stub(), Replay(paced(frames, 30)), Replay(paced(blocks, 20)), window=0.5)
    player = Player(session, screen, say=said.append)
    player.run()
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("live-") and said == [f"recorded: {path.name}"]
    assert len(list(media.read_frames(path))) == pytest.approx(20, abs=5)
    assert len(screen.frames) == 40 and screen.closed
    assert player.pictures - session.lost == 40
    assert np.ptp(screen.frames[-1][:20, :40]) > 100  # the status, which is not recorded
    assert max(np.ptp(frame[:20, :40]) for _, frame in recorded) == 0


def test_ctrl_c_keeps_what_was_recorded(tmp_path):
    class Stopped(Screen):
        def show(self, frame):
            if len(self.frames) == 10:
                raise KeyboardInterrupt
            return super().show(frame)

    frames, screen = ((i / 30, WHITE) for i in itertools.count()), Stopped()
    session = Session(Stub(), Replay(paced(frames, 30)), None)
    Player(session, screen, tmp_path / "out.mp4", lambda text: None).run()
    assert len(list(media.read_frames(tmp_path / "out.mp4"))) == 11 and screen.closed


def paced(items, rate):
    """Gives `rate` items a second of true time."""
    pace = threading.Event()
    for item in items:
        pace.wait(1 / rate)
        yield item


def test_predictions_are_said_in_lines():
    item = Prediction(1.0, 2.0, LABELS, SHARES, has_audio=True, has_face=True, track=2)
    (line,) = lines([item], 0.1234)
    assert line == "1.0 to 2.0 s: face 2, happy 70 %, from sound and face, 123 ms after its end"
    assert list(lines([], 0.1)) == ["neither speech nor face"]


class PortAudio(SimpleNamespace):
    """sounddevice with one microphone, which gives a tone and is unplugged after three blocks."""

    class PortAudioError(Exception):
        pass

    class InputStream:
        read_available = 800

        def __init__(self, samplerate, blocksize, device, channels, dtype):
            assert (channels, dtype) == (1, "float32")
            if device not in (None, 3, "USB"):
                raise ValueError(f"No input device matching {device!r}")
            self.blocksize, self.left = blocksize, 3

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def read(self, size):
            self.left -= 1
            if self.left < 0:
                raise PortAudio.PortAudioError("Device unavailable [PaErrorCode -9985]")
            return np.full((size, 1), 0.5, np.float32), False


@pytest.mark.parametrize("name", ["default", "3", "USB"])
def test_microphone(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "sounddevice", PortAudio)
    clock = Clock()
    sound = sources.open_microphone(name, 16000, clock).read(clock.now - 5.0)
    for _ in range(3):
        time, block = next(sound)
        assert block.shape == (800,) and (block == 0.5).all()
        assert time == pytest.approx(5.0 - 0.1)  # this block, and one more that waits
    with pytest.raises(MediaError, match=r"stopped \(Device unavailable\)"):
        next(sound)


@pytest.mark.parametrize(
    ("module", "reason"), [(PortAudio, "'Nothing'"), (None, "pip install sounddevice")]
)
def test_no_microphone_is_said(monkeypatch, module, reason):
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    with pytest.raises(MediaError, match=reason):
        sources.open_microphone("Nothing", 16000)


def test_camera_is_rgb(tmp_path):
    red = np.full((48, 64, 3), (200, 30, 30), np.uint8)
    path = write_video(tmp_path / "red.mp4", NTSC[:5], draw=lambda i: red)
    camera, clock = sources.Camera(str(path), clock := Clock()), clock
    frames = camera.read(clock.now - 2.0)
    time, frame = next(frames)
    assert time == 2.0 and np.abs(frame.astype(int) - red).max() < 30
    with pytest.raises(MediaError, match="stopped giving pictures"):
        list(frames)


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """run(*arguments) -> (exit code, lines of stdout, lines of stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(live_command, "load", lambda options: Stub())

    def run(*arguments):
        code = run_inference.main(["--live", "--model", "any", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    return run


def test_command_refuses_in_one_line(command, clip, tmp_path):
    silent = write_video(tmp_path / "silent.mp4", NTSC[:5])
    for arguments, reason in (
        (("--camera", "98"), "--camera must name a camera"),
        (("--camera", "missing.mp4"), "missing.mp4"),
        (("--camera", clip, "--microphone", silent), "a file with sound"),
        (("--camera", "none", "--microphone", "none"), "there is no camera"),
        (("--camera", clip), "--no-display"),
        (("--camera", clip, "--record", clip), "another file"),
        (("--camera", clip, "--record", "out.avi"), "must end in .mp4"),
        (("--camera", clip, "--record", "none/out.mp4", "--no-display"), "cannot be written"),
        (("--camera", "none", "--record", "out.mp4"), "--record needs a camera"),
        (("--camera", clip, "--output", "out.mp4"), "--record"),
        (("--camera", clip, "--hop", "9"), "`hop` must be"),
    ):
        code, _, errors = command(*arguments)
        assert code == 2 and len(errors) == 1 and reason in errors[0], (arguments, errors)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "silent.mp4"]


def test_command_looks_for_its_place_before_it_loads(command, clip, monkeypatch):
    monkeypatch.setattr(live_command, "load", None)
    code, _, (line,) = command("--camera", clip, "--no-display", "--record", "none/out.mp4")
    assert code == 2 and "cannot be written" in line


def test_command_on_a_file_prints_and_records(command, clip, tmp_path):
    code, out, errors = command(
        "--camera", clip, "--no-display", "--record", "out.mp4", "--window", 1, "--hop", 0.5
    )
    assert code == 0 and errors == []
    *text, last = out
    assert last == "recorded: out.mp4" and len(text) >= 4
    assert text[0].startswith("0.0 to 1.0 s: face 1, happy 80 %, from sound and face, ")
    clicks = media.read_samples(tmp_path / "out.mp4", 16000)
    assert onset(clicks, 16000) == pytest.approx(1.0, abs=0.01)
    boxed = list(media.read_frames(tmp_path / "out.mp4"))[60][1]
    assert (boxed.max(axis=2).astype(int) - boxed.min(axis=2) > 60).any()


def test_command_hears_alone(command, data):
    code, out, errors = command("--camera", "none", "--microphone", data / "media/sine.wav")
    assert code == 0 and errors == []
    assert out and all("no face, sad 80 %, from sound, " in line for line in out)


@pytest.mark.slow
def test_live_keeps_up_with_a_trained_run(trained, recording):
    """At the file's pace: a prediction every hop, soon after its window, and few pictures late."""
    from emotion.inference.recognizer import Recognizer

    recognizer = Recognizer(trained.folder)
    both = sources.open_both(str(recording), None, recognizer.sample_rate)
    session = Session(recognizer, *both, window=1.0, hop=0.25)
    player = Player(session, Screen())
    player.run()
    duration = media.probe(recording).duration
    assert len(player.latencies) + session.skipped >= int((duration - 1.0) / 0.25)
    assert session.skipped <= 1 and np.median(player.latencies) < 0.5
    assert player.late < 0.5 * player.pictures  # the figure is benchmarks/live.py's to measure
