"""Faces: detection, crops, and how the detector's weights arrive."""

import functools
import http.server
import logging
import threading

import av
import cv2
import numpy as np
import pytest

from emotion.faces import crop, detect
from emotion.faces.crop import crop_face


@pytest.fixture
def weights(data):
    return data / "weights" / "face_detection_yunet_2023mar.onnx"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv("EMOTION_YUNET", raising=False)
    monkeypatch.setattr(detect.platformdirs, "user_cache_path", lambda name: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def serve():
    """Serves a folder on 127.0.0.1; gives (url of the folder, list of paths asked for)."""
    servers = []

    def start(folder):
        asked = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *arguments):
                asked.append(self.path)

        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Handler, directory=folder)
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def first_frame(path):
    with av.open(str(path)) as file:
        return next(file.decode(video=0)).to_ndarray(format="rgb24")


@pytest.mark.parametrize("name", ["yunet", "haar"])
@pytest.mark.parametrize(
    ("file", "count"),
    [
        ("ravdess/videos/Actor_01/01-01-01-01-01-01-01.mp4", 1),
        ("media/one_face.mp4", 1),
        ("media/grid_mpeg1_mp2.mpg", 1),
        ("media/multi_face.jpg", (4, 5)),
        ("media/no_face.mp4", 0),
        ("media/one_pixel.mp4", 0),
    ],
)
def test_detectors_find_the_faces_of_real_frames(data, weights, name, file, count):
    frame = first_frame(data / file)
    detector = detect.Detector(name, weights=weights)
    boxes = detector(frame)
    assert detector.name == name
    assert boxes.dtype == np.float32 and boxes.shape[1] == 5
    assert len(boxes) in np.atleast_1d(count)
    np.testing.assert_array_equal(detector(frame), boxes)


def test_both_detectors_give_comparable_crops(data, weights):
    frame = first_frame(data / "media" / "single_face.jpg")
    yunet, haar = (
        crop.square(detect.Detector(name, weights)(frame)[0], 0.1, frame.shape[:2])
        for name in ("yunet", "haar")
    )
    side = yunet[2] - yunet[0]
    np.testing.assert_allclose(haar, yunet, atol=0.12 * side)


def test_boxes_are_scaled_back_to_the_frame(data, weights):
    frame = first_frame(data / "media" / "single_face.jpg")
    twice = cv2.resize(frame, None, fx=2, fy=2)
    detector = detect.Detector("yunet", weights)
    item, two = detector(frame)[0, :4], detector(twice)[0, :4]
    np.testing.assert_allclose(two, 2 * item, atol=0.05 * (two[2] - two[0]))


def test_auto_says_that_it_falls_back_to_haar(cache, caplog):
    with caplog.at_level(logging.WARNING):
        assert detect.Detector().name == "haar"
    assert len(caplog.records) == 1
    assert "python -m emotion download yunet" in caplog.text


def test_auto_takes_yunet_where_its_weights_are(cache, weights, monkeypatch, caplog):
    monkeypatch.setenv("EMOTION_YUNET", str(weights))
    assert detect.Detector().name == "yunet"
    assert not caplog.records


def test_wrong_detectors_are_refused(cache, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="auto, yunet, haar.*'mtcnn'"):
        detect.Detector("mtcnn")
    with pytest.raises(FileNotFoundError, match="python -m emotion download yunet"):
        detect.Detector("yunet")
    with pytest.raises(FileNotFoundError, match="none.onnx"):
        detect.Detector("auto", weights=tmp_path / "none.onnx")
    (tmp_path / "wrong.onnx").write_bytes(b"no network")
    with pytest.raises(ValueError, match="cannot read the weights"):
        detect.Detector("yunet", weights=tmp_path / "wrong.onnx")
    monkeypatch.setenv("EMOTION_YUNET", str(tmp_path / "none.onnx"))
    with pytest.raises(FileNotFoundError, match="EMOTION_YUNET"):
        detect.yunet_path()


def test_fetch_yunet_downloads_once(cache, weights, serve):
    url, asked = serve(weights.parent)
    assert detect.yunet_path() is None
    path = detect.fetch_yunet(f"{url}/{weights.name}")
    assert detect.fetch_yunet(f"{url}/{weights.name}") == path == detect.yunet_path()
    assert len(asked) == 1
    assert path.read_bytes() == weights.read_bytes()


def test_fetch_yunet_refuses_a_corrupt_file(cache, weights, serve, tmp_path):
    (tmp_path / weights.name).write_bytes(weights.read_bytes()[:-1] + b"?")
    url, _ = serve(tmp_path)
    with pytest.raises(ValueError, match="hash"):
        detect.fetch_yunet(f"{url}/{weights.name}")
    assert detect.yunet_path() is None


def test_fetch_yunet_replaces_a_partial_file(cache, weights, serve):
    cache.mkdir()
    (cache / weights.name).write_bytes(weights.read_bytes()[:1000])
    assert detect.yunet_path() is None
    url, _ = serve(weights.parent)
    assert detect.fetch_yunet(f"{url}/{weights.name}") == detect.yunet_path()


def test_crop_is_square_centred_and_repeats_the_border():
    frame = np.zeros((100, 200, 3), np.uint8)
    frame[:, :, 0] = np.arange(200)
    frame[40:60, 100:110] = (0, 255, 0)
    cut = crop_face(frame, (100, 40, 110, 60), 40, 0.5)
    assert cut.shape == (40, 40, 3) and cut.dtype == np.uint8
    np.testing.assert_array_equal(cut[20, 20], (0, 255, 0))
    assert (cut[..., 1] == 255).mean() == pytest.approx(200 / 1600, abs=0.02)
    corner = crop_face(frame, (190, -20, 230, 20), 32, 0.25)
    assert corner.shape == (32, 32, 3)
    assert (corner[:, -1, 0] == 199).all()


@pytest.mark.parametrize("box", [(500, 500, 520, 520), (-50, -50, -40, -40), (5, 5, 5, 5)])
def test_crop_of_any_box_is_an_image(box):
    frame = np.full((40, 30, 3), 7, np.uint8)
    assert (crop_face(frame, box, 16, 0.0) == 7).all()
