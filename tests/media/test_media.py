"""Reading and writing media: real files of every kind, and damage made on purpose."""

import os
from fractions import Fraction

import av
import numpy as np
import pytest
from videos import onset, tone, turn, write_video

from emotion import media
from emotion.clip import MediaError
from emotion.media import decode

NTSC = np.arange(60) * 1001 / 30000
UNEVEN = np.cumsum([0, 0.02, 0.1, 0.04, 0.3, 0.033, 0.05, 0.5, 0.04])


def rewrite(path, output):
    info = media.probe(path)
    with media.VideoWriter(output, like=info) as writer:
        for _, picture in media.read_pictures(path):
            writer.write(picture)
    return output


def times_of(path):
    return np.array([time for time, _ in media.read_frames(path)])


# name: video, audio, upright size, frames, seconds of sound
FILES = {
    "av1_no_audio.mkv": (True, False, (640, 360), 125, None),
    "cover_art.mp3": (False, True, (0, 0), None, 1.007),
    "face_appears_hevc_vfr.mov": (True, True, (960, 540), 169, 3.966),
    "face_leaves_hevc_vfr.mov": (True, True, (960, 540), 169, 6.396),
    "failing_audio.mp4": (True, True, (640, 360), 280, 11.235),
    "grid_mpeg1_mp2.mpg": (True, True, (360, 288), 75, 2.978),
    "h264_10bit.mp4": (True, False, (200, 200), 30, None),
    "hevc_10bit.mp4": (True, False, (200, 200), 30, None),
    "nasa_8khz_audio.mp4": (True, True, (320, 180), 325, 13.056),
    "no_duration_vp9.webm": (True, True, (1280, 720), 74, 4.875),
    "one_face_short.mp4": (True, True, (640, 360), 72, 2.419),
    "one_pixel.mp4": (True, False, (1, 1), 5, None),
    "rotated_180_vfr_mono.mp4": (True, True, (1280, 720), 25, 2.4175),
    "sine.wav": (False, True, (0, 0), None, 4.0),
}


@pytest.mark.parametrize("name", FILES)
def test_reads_every_kind_of_file(data, name):
    video, audio, size, frames, seconds = FILES[name]
    path = data / "media" / name
    info = media.probe(path)
    assert (info.video, info.audio, (info.width, info.height)) == (video, audio, size)
    if video:
        read = list(media.read_frames(path, size=(8, 8)))
        times = np.array([time for time, _ in read])
        assert len(read) == frames and times[0] == 0 and (np.diff(times) > 0).all()
    if audio:
        samples = media.read_samples(path, 16000)
        assert samples.dtype == np.float32 and np.abs(samples).max() <= 1
        assert len(samples) / 16000 == pytest.approx(seconds, abs=0.005)
    else:
        with pytest.raises(MediaError, match="no sound"):
            media.read_samples(path, 16000)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty.webm", "0 bytes"),
        ("multi_face.jpg", "still image"),
        ("openface_output.csv", "not media"),
    ],
)
def test_says_why_a_file_cannot_be_used(data, name, reason):
    with pytest.raises(MediaError, match=reason) as caught:
        media.probe(data / "media" / name)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_refuses_what_is_no_media(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        media.probe(tmp_path / "nowhere.mp4")
    with pytest.raises(FileNotFoundError):
        media.probe(tmp_path)
    for name, content in (
        ("text.mp4", "This is a letter.\n" * 100),
        ("text.txt", "This is a letter.\n" * 100),
        ("list.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n"),
        ("subtitle.srt", "1\n00:00:00,000 --> 00:00:02,000\nHello\n"),
    ):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        with pytest.raises(MediaError, match=name):
            media.probe(path)


def test_reads_a_file_cut_short_up_to_the_cut(tmp_path, data):
    whole = (data / "media/no_duration_vp9.webm").read_bytes()
    cut = tmp_path / "cut.webm"
    cut.write_bytes(whole[: len(whole) // 2])
    assert 10 < len(times_of(cut)) < 74
    assert 1 < len(media.read_samples(cut, 16000)) / 16000 < 4.8
    headless = tmp_path / "headless.mp4"
    headless.write_bytes((data / "media/one_face.mp4").read_bytes()[500000:])
    with pytest.raises(MediaError, match="headless.mp4"):
        media.probe(headless)


def test_passes_over_damage_in_the_middle(tmp_path):
    path = write_video(
        tmp_path / "a.mp4", np.arange(50) / 25, sound=(tone(2, clicks=(1.8,)), 16000)
    )
    content = bytearray(path.read_bytes())
    middle = content.index(b"mdat") + 400
    content[middle : middle + 200] = np.random.default_rng(0).bytes(200)
    path.write_bytes(content)
    assert len(times_of(path)) > 20
    assert len(media.read_samples(path, 16000)) > 16000


def test_times_pick_the_frame_shown_then(tmp_path):
    path = write_video(tmp_path / "a.mp4", UNEVEN)
    wanted = [0, 0.019, 0.02, 0.119, 0.13, 0.13, 0.5, 9, 10]
    got = list(media.read_frames(path, times=wanted, size=(4, 6)))
    expected = [UNEVEN[UNEVEN <= time + 1e-4].max() for time in wanted]
    assert [time for time, _ in got] == pytest.approx(expected, abs=1e-4)
    for (_, frame), time in zip(got, expected):
        assert frame.shape == (4, 6, 3)
        assert frame.mean() == pytest.approx(20 + 8 * np.argmin(abs(UNEVEN - time)), abs=3)


def test_step_keeps_about_one_frame_a_step_at_a_separate_time(tmp_path):
    path = write_video(tmp_path / "a.mp4", NTSC)
    times = np.array([time for time, _ in media.read_frames(path, step=0.25)])
    assert len(times) == 8
    assert (np.abs(times - np.arange(8) * 0.25) < 0.08).all()
    assert np.abs(times[:, None] - NTSC).min(axis=1).max() < 1e-4


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_applied(tmp_path, degrees):
    def corner(_):
        image = np.zeros((48, 64, 3), np.uint8)
        image[:16, :16] = (250, 20, 20)  # red, top left as stored
        return image

    path = turn(write_video(tmp_path / "a.mp4", [0, 0.04], draw=corner), degrees)
    upright = np.rot90(corner(0), -degrees // 90).astype(float)
    info = media.probe(path)
    assert (info.height, info.width) == upright.shape[:2]
    for file in (path, rewrite(path, tmp_path / "b.mp4")):
        frame = next(iter(media.read_frames(file)))[1]
        assert np.abs(frame - upright).mean() < 8
    assert media.probe(tmp_path / "b.mp4").rotation == 0


def test_stereo_becomes_the_mean_of_its_channels(tmp_path):
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="stereo")
        channels = np.stack([np.full(8000, 0.5), np.full(8000, 0.1)], axis=1)
        packed = (channels * 32767).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, "s16", "stereo")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    samples = media.read_samples(path, 8000)
    assert len(samples) == 8000 and samples[4000] == pytest.approx(0.3, abs=1e-3)


@pytest.mark.parametrize(("video_at", "sound_at"), [(0, 0.7), (0.6, 0), (0, 0)])
@pytest.mark.parametrize("suffix", ["mkv", "mp4", "flv", "ts"])
def test_sound_is_aligned_to_the_first_frame(tmp_path, suffix, video_at, sound_at):
    sound = (tone(2, 44100, clicks=(1.0,)), 44100)
    path = tmp_path / f"a.{suffix}"
    write_video(
        path, NTSC, sound=sound, sound_at=sound_at, video_at=video_at, base=Fraction(1, 1000)
    )
    expected = 1.0 + sound_at - video_at
    # FLV does not say how many samples its AAC encoder put in front: 23 ms at 44.1 kHz.
    slack = 0.03 if suffix in ("flv", "ts") else 0.004
    samples = media.read_samples(path, 16000)
    assert onset(samples, 16000) == pytest.approx(expected, abs=slack)
    again = media.read_samples(rewrite(path, tmp_path / "b.mp4"), 16000)
    assert onset(again, 16000) == pytest.approx(onset(samples, 16000), abs=0.004)


def test_lost_sound_becomes_silence(tmp_path):
    path = tmp_path / "a.mkv"
    whole = write_video(tmp_path / "whole.mkv", NTSC, sound=(tone(2, clicks=(1.5,)), 16000))
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        copies = {s.index: target.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            lost = (
                packet.stream.type == "audio" and 0.4 < (packet.pts or 0) * packet.time_base < 0.9
            )
            if packet.size and not lost:
                packet.stream = copies[packet.stream.index]
                target.mux(packet)
    assert onset(media.read_samples(path, 16000), 16000) == pytest.approx(1.5, abs=0.005)


@pytest.mark.parametrize("jump, seconds", [(50, 51), (5 * 3600, 2), (3e10, 2)])
def test_sound_has_a_gap_of_a_minute_at_most(tmp_path, jump, seconds):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for time in (0, jump):
            frame = av.AudioFrame.from_ndarray(np.full((1, 8000), 9000, np.int16), "s16", "mono")
            frame.sample_rate, frame.pts = 8000, round(time * 8000)
            container.mux(stream.encode(frame))
    with decode.open_file(tmp_path / "a.mkv") as container:
        lengths = [piece.shape[1] for piece in decode.sound(container, 8000, 0)]
    assert sum(lengths) == seconds * 8000 and max(lengths) <= 2 * 8000


@pytest.mark.parametrize("jump", [70.0, 3e10])
def test_a_picture_far_ahead_follows_the_one_before(tmp_path, jump):
    times = np.arange(50) / 25
    times[30:] += jump
    write_video(
        tmp_path / "a.mkv", times, codec="mjpeg", base=Fraction(1, 1000), pix_fmt="yuvj420p"
    )
    read = times_of(tmp_path / "a.mkv")
    assert len(read) == 50 and np.all(np.diff(read) > 0) and read[-1] <= 2.1


def test_joined_recordings_follow_one_another(tmp_path):
    """Their clocks restart; picture and sound of the second stay together."""
    draw = lambda i: np.full((48, 64, 3), 250 if i == 25 else 10, np.uint8)  # noqa: E731
    sound = tone(2, 48000, clicks=[1]), 48000
    write_video(tmp_path / "a.ts", np.arange(50) / 25, sound=sound, sound_codec="mp2", draw=draw)
    content = (tmp_path / "a.ts").read_bytes()
    (tmp_path / "b.ts").write_bytes(content + content + content)
    frames = list(media.read_frames(tmp_path / "b.ts"))
    assert len(frames) == 150 and frames[-1][0] == pytest.approx(6, abs=0.2)
    flashes = [time for time, frame in frames if frame.mean() > 100]
    samples = np.abs(media.read_samples(tmp_path / "b.ts", 16000))
    assert len(flashes) == 3
    for flash in flashes:
        near = samples[round((flash - 0.5) * 16000) : round((flash + 0.5) * 16000)]
        click = flash - 0.5 + np.argmax(near > 0.2) / 16000
        assert click == pytest.approx(flash, abs=0.05)


def test_blocks_join_to_the_whole(data):
    path = data / "media/one_face_short.mp4"
    blocks = list(media.read_blocks(path, 16000, 0.5))
    assert {len(block) for block in blocks[:-1]} == {8000}
    np.testing.assert_array_equal(np.concatenate(blocks), media.read_samples(path, 16000))


@pytest.mark.parametrize("times", [NTSC, UNEVEN, NTSC + 3])
def test_writer_keeps_timestamps(tmp_path, times):
    path = write_video(tmp_path / "a.mp4", times, sound=(tone(2), 16000))
    copy = rewrite(path, tmp_path / "b.mp4")
    np.testing.assert_allclose(times_of(copy), times_of(path), atol=1e-5)
    assert times_of(path)[-1] == pytest.approx(times[-1] - times[0], abs=1e-4)


def test_writer_does_not_drift_in_ten_minutes_of_ntsc(tmp_path):
    times = np.arange(0, 17982, 300) * 1001 / 30000
    path = write_video(tmp_path / "a.mp4", times)
    assert times_of(rewrite(path, tmp_path / "b.mp4"))[-1] == pytest.approx(times[-1], abs=1e-6)


@pytest.mark.parametrize("seconds", [0.5, 4.0])
@pytest.mark.parametrize("codec", ["aac", "mp3"])
def test_writer_keeps_sound_of_another_length(tmp_path, seconds, codec):
    sound = (tone(seconds, 44100, clicks=(0.2,)), 44100)
    path = write_video(tmp_path / "a.mp4", NTSC, sound=sound, sound_codec=codec)
    copy = rewrite(path, tmp_path / "b.mp4")
    with av.open(str(copy)) as container:
        assert [s.codec_context.name for s in container.streams] == ["h264", "aac"]
    before, after = (media.read_samples(file, 44100) for file in (path, copy))
    assert len(after) == pytest.approx(len(before), abs=2048)
    assert onset(after, 44100) == pytest.approx(onset(before, 44100), abs=0.002)
    assert media.probe(copy).duration == pytest.approx(max(seconds, 2.002), abs=0.06)


@pytest.mark.parametrize("size", [(63, 47), (1, 1), (64, 31)])
def test_writer_takes_odd_sizes(tmp_path, size):
    path = write_video(tmp_path / "a.mkv", NTSC[:5], size=size, codec="ffv1", pix_fmt="yuv444p")
    info = media.probe(rewrite(path, tmp_path / "b.mp4"))
    assert (info.width, info.height) == (size[0] + size[0] % 2, size[1] + size[1] % 2)


def test_drawing_on_a_picture_does_not_reach_the_next(tmp_path):
    def still(_):
        return np.full((48, 64, 3), 120, np.uint8)

    means = []
    for _, picture in media.read_pictures(write_video(tmp_path / "a.mp4", NTSC, draw=still)):
        luma, _, _ = media.planes(picture)
        means.append(luma.mean())
        luma[:] = 255
    assert means == pytest.approx([means[0]] * 60, abs=2)


def test_writer_writes_arrays_and_samples(tmp_path):
    path = tmp_path / "a.mp4"
    with media.VideoWriter(
        path, rate=Fraction(25), sound=(tone(1, clicks=(0.4,)), 16000)
    ) as writer:
        for i in range(25):
            writer.write(np.full((48, 64, 3), (10 * i, 100, 50), np.uint8), i / 25)
    time, frame = list(media.read_frames(path))[20]
    assert time == pytest.approx(0.8) and frame[24, 32] == pytest.approx([200, 100, 50], abs=6)
    assert onset(media.read_samples(path, 16000), 16000) == pytest.approx(0.4, abs=0.002)


def test_a_failed_write_leaves_nothing_and_harms_nothing(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_text("precious", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt), media.VideoWriter(path) as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8), 0.0)
        raise KeyboardInterrupt
    with pytest.raises(MediaError, match="no frame"), media.VideoWriter(path):
        pass
    assert os.listdir(tmp_path) == ["a.mp4"] and path.read_text(encoding="utf-8") == "precious"
    with (
        pytest.raises(MediaError, match="cannot be written"),
        media.VideoWriter(tmp_path / "nowhere" / "b.mp4"),
    ):
        pass


def test_pictures_beyond_the_limit_are_not_decoded(tmp_path):
    write_video(tmp_path / "a.mp4", np.arange(3) / 25, size=(640, 480))
    with media.picture_limit(300_000), pytest.raises(MediaError, match="at most 0.3 megapixels"):
        media.probe(tmp_path / "a.mp4")
    assert media.probe(tmp_path / "a.mp4").width == 640


def test_a_stream_whose_pictures_grow_beyond_the_limit_loses_these(tmp_path):
    content = b""
    for size in ((64, 48), (640, 480), (64, 48)):
        path = tmp_path / "part.mjpeg"
        write_video(path, np.arange(3) / 25, size, codec="mjpeg", pix_fmt="yuvj420p")
        content += path.read_bytes()
    (tmp_path / "a.mjpeg").write_bytes(content)
    with media.picture_limit(100_000):
        shapes = {frame.shape for _, frame in media.read_frames(tmp_path / "a.mjpeg")}
    assert shapes == {(48, 64, 3)}
    assert len(times_of(tmp_path / "a.mjpeg")) == 9


@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4", "list.ffconcat", "list.sdp", "list.mpd"])
def test_a_file_that_names_others_is_refused(tmp_path, data, name):
    other = data / "media/sine.wav"
    forms = {
        "m3u8": f"#EXTM3U\n#EXTINF:3.0,\n{other}\n#EXT-X-ENDLIST\n",
        "sdp": "v=0\ns=x\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
        "mpd": f"<?xml version='1.0'?><MPD><BaseURL>{other}</BaseURL></MPD>",
    }
    text = forms.get(name.partition(".")[2], f"ffconcat version 1.0\nfile {other}\n")
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(MediaError, match="not taken here|not media"):
        media.probe(tmp_path / name)


def test_what_the_muxer_refuses_is_one_sentence(tmp_path, monkeypatch):
    """As PatchWelcomeError, for sound that it has no code for."""
    writer = media.VideoWriter(tmp_path / "a.mp4")
    with pytest.raises(MediaError, match="a.mp4 cannot be written .*convert the recording"):
        with writer:
            writer.write(np.zeros((48, 64, 3), np.uint8), 0.0)
            raise av.PatchWelcomeError(av.error.errno.EINVAL, "not yet implemented")
    assert list(tmp_path.iterdir()) == []
