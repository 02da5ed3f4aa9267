"""The web page: analyses a recording or a camera.

`python -m emotion web` starts it, or `streamlit run` on this file, with or without the options
below. Streamlit serves `app` and runs this file anew at each touch. What it is to find out is
computed in `_work`, once for each recording, and kept in the visitor's own session.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute

if TYPE_CHECKING:
    from emotion.web.stream import Slots
    from emotion.web.uploads import Limits, WorkQueue

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # `streamlit run` on this file knows its folder alone
    sys.path.insert(0, str(ROOT))

from emotion import backend

backend.start()

from emotion.annotate import predictions, render
from emotion.clip import MediaError
from emotion.explain.explanations import drawable
from emotion.inference.recognizer import Recognizer
from emotion.processes import Worker
from emotion.report.build import LIMITS
from emotion.run import newest
from emotion.web import recorder, stream, uploads, work
from emotion.web.access import AccessControl
from emotion.web.page_limits import PageLimits

KINDS = ["mp4", "mov", "webm", "mkv", "avi", "mpg", "wav", "flac", "mp3", "m4a", "ogg"]
DOWNLOADS = (
    ("annotated.mp4", "Annotated video", "video/mp4"),
    ("predictions.csv", "Table (CSV)", "text/csv"),
    ("subtitles.vtt", "Subtitles (WebVTT)", "text/vtt"),
)


def options() -> argparse.Namespace:
    """Returns the arguments that `cli/web.py` hands over, or what stands for them."""
    default = uploads.Limits()
    parser = argparse.ArgumentParser()
    parser.add_argument("--host")
    parser.add_argument("--token")
    parser.add_argument("--model")
    parser.add_argument("--yunet")
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--any-sound", action="store_true")
    parser.add_argument("--cameras", type=int, default=2)
    for name in ("megabytes", "total", "seconds", "timeout"):
        parser.add_argument(f"--{name}", type=float, default=getattr(default, name))
    return parser.parse_args()


def limits_of(chosen: argparse.Namespace) -> Limits:
    """Returns the Limits of the arguments."""
    names = ("megabytes", "total", "seconds", "timeout")
    return uploads.Limits(**{name: getattr(chosen, name) for name in names})


@st.cache_resource(show_spinner="Loading the model")
def recognizer(model: str | None, *arguments: Any) -> Recognizer:
    """The one Recognizer for cameras, with further arguments of it."""
    return Recognizer(model or newest(), *arguments)


@st.cache_resource(show_spinner=False)
def work_queue(limits: Limits, model: str | None, *arguments: Any) -> WorkQueue:
    """The one WorkQueue of the server, which loads a Recognizer in a process of its own."""
    worker = Worker(partial(work.load_recognizer, model or newest(), *arguments))
    return uploads.WorkQueue(worker, Worker(work.load_nothing), limits)


@st.cache_resource
def slots(count: int) -> Slots:
    """The Slots of the server for cameras."""
    return stream.Slots(count)


@st.cache_data(show_spinner="Drawing the sample")
def sample() -> bytes:
    """Bytes of a video: a drawn face that speaks."""
    from emotion.synthetic import generate

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sample.mp4")
        generate.write_demo_clip(path, emotions=("happy", "sad"))  # to draw more takes long
        return path.read_bytes()


def main() -> None:
    """Draws the page."""
    chosen = options()
    limits = limits_of(chosen)
    st.set_page_config(page_title="Emotion in a recording")
    st.title("Emotion in a recording")
    try:
        arguments = chosen.model, chosen.yunet, chosen.threshold, chosen.any_sound
        here, queue = recognizer(*arguments), work_queue(limits, *arguments)
    except (FileNotFoundError, ValueError) as error:
        st.error(f"There is no model to work with: {error}")
        return
    st.write(
        f"The model knows: {', '.join(here.labels)}. It was trained on emotions that actors "
        "played or that others saw in photographs. Try it on a recording, or live."
    )
    recorded, live = st.tabs(["A recording", "Live"])
    with recorded:
        data, sound = _recording(limits)
        if data is not None:
            _shown(queue, here, data, sound)
    with live:
        st.write("The picture and the sound of your camera are analysed live; nothing is stored.")
        stream.show(here, slots(chosen.cameras))
    st.header("Limits")
    for text in LIMITS:
        st.write(text)
    st.caption(
        "A recording is stored in a private folder while it is analysed, and deleted then. "
        f"At most {limits.megabytes:g} MB and {limits.seconds:g} seconds."
    )


def _recording(limits):
    """Asks for a recording: its bytes and those of a sound of its own, or None."""
    upload = st.file_uploader("A video, or a sound", KINDS, max_upload_size=int(limits.megabytes))
    sound = st.file_uploader(
        "A sound that belongs to a video without one (optional)",
        ["wav", "flac", "mp3", "m4a"],
        max_upload_size=int(limits.megabytes),
    )
    with st.expander("Or record with this browser's camera and microphone"):
        recorder.show(20, "chosen")
    st.button("Or try a sample: a drawn face that speaks", on_click=_choose_sample)
    if upload:
        return upload.getvalue(), sound.getvalue() if sound else None
    if sound:
        st.info("Add the video that this sound belongs to, above.")
    if "chosen" not in st.session_state:
        return None, None
    return st.session_state["chosen"] or sample(), None


def _choose_sample():
    st.session_state["chosen"] = None  # drawn later, where no rerun can lose the click


def _shown(queue, recognizer, data, sound):
    key = hashlib.blake2b(data + (sound or b"")).hexdigest()
    place = st.empty()  # on every run, so that what stands below keeps its place
    known, analysed, trouble = st.session_state.get("outcome", (None, None, None))
    if known != key:
        analysed = trouble = None
        try:
            analysed = _work(queue, data, sound, place)
        except uploads.Busy as error:
            st.warning(f"The server is busy: {error}")
            st.button("Try again")  # pressing it runs the page anew
            return
        except (MediaError, ValueError) as error:
            trouble = str(error)
        st.session_state["outcome"] = key, analysed, trouble
    if analysed is None:
        st.error(f"This recording cannot be used: {trouble}")
        return
    timeline, files = analysed
    *emotions, basis = render.summary(timeline).splitlines()
    for emotion, _, seconds in (line.rpartition(", ") for line in emotions):
        st.write(f"**{emotion[0].upper()}{emotion[1:]}**, {seconds}")
    st.write(basis.capitalize() + ".")
    if "annotated.mp4" in files:
        st.video(files["annotated.mp4"], alt="The recording with boxes and labels drawn on it")
    labels = ", ".join(
        f"{prediction.label} from {prediction.start:.1f} s"
        for prediction in timeline.predictions[:20]
    )
    st.image(files["timeline.png"], alt=f"Probability of each emotion over time: {labels}")
    offered = [prediction for prediction in DOWNLOADS if prediction[0] in files]
    for column, (name, label, kind) in zip(st.columns(len(DOWNLOADS)), offered):
        column.download_button(label, files[name], name, kind, on_click="ignore")
    with st.expander("Every window as a table"):
        st.dataframe(list(predictions.rows(timeline)), hide_index=True)
    explained = not recognizer.run.record.exported and drawable(recognizer.preset)
    if explained and timeline.predictions:
        _explained(queue, data, sound, timeline)


def _explained(queue, data, sound, timeline):
    st.header("Explanation")
    names = {
        f"{prediction.start:.1f} to {prediction.end:.1f} s"
        + (f", face {prediction.track}" if prediction.track else "")
        + f": {prediction.label}, {prediction.confidence:.0%}": prediction
        for prediction in timeline.predictions
    }
    chosen = st.selectbox("A moment", names)
    if not st.button("Explain this moment"):
        return
    try:
        with st.spinner("Computing the explanation"):
            record, files = _explain(queue, data, sound, names[chosen])
    except (uploads.Busy, MediaError, ValueError) as error:
        st.warning(f"This moment cannot be explained now: {error}")
        return
    for name, alt in (
        ("mfcc.png", "The MFCC map, and the attribution of each value"),
        ("frames.png", "The face: orange regions support the label, blue regions oppose it"),
    ):
        if name in files:
            st.image(files[name], caption=alt, alt=alt)
    if "heat.mp4" in files:
        st.video(files["heat.mp4"], alt="The face with the attribution on it")
    parts = ", ".join(f"{name} {part:+.2f}" for name, part in record["shares"].items())
    st.write(f"Contribution of each modality to the logit of {record['label']}: {parts}.")


def _explain(queue, data, sound, prediction):
    """Returns (dict of `explanations.explain_clip`, dict of file name to bytes)."""
    with _received(queue, data, sound) as path:
        record = queue.call(work.explain, path, prediction)
        return record, _files(path.parent, "mfcc.png", "frames.png", "heat.mp4")


def _work(queue, data, sound, place):
    """Returns (Timeline, dict of file name to bytes); its progress is told in an st.empty."""
    bar = place.progress(0.0, "Waiting")

    def progress(stage, done, total):
        share = min(done / total, 1.0) if total else 0.0
        of = f" of {total:.0f} s" if total else ""
        bar.progress(share, f"{stage.capitalize()}: {done:.0f} s{of}" if done else "Waiting")

    with _received(queue, data, sound) as path:
        timeline = queue.call(work.show, path, progress=progress)
        offered = [name for name, *_ in DOWNLOADS]
        files = _files(path.parent, *offered, "timeline.png")
    bar.empty()
    return timeline, files


@contextmanager
def _received(queue, data, sound):
    with queue.place(), uploads.received([data], queue.limits, sound and [sound]) as path:
        yield path


def _files(folder, *names):
    return {n: (folder / n).read_bytes() for n in names if (folder / n).is_file()}


if __name__ == "__main__":  # Streamlit runs it for a visitor
    main()
else:  # Streamlit's server has imported it
    _chosen = options()
    _middleware = [Middleware(PageLimits, limits=limits_of(_chosen))]
    if _chosen.host:  # without one, who may reach it is the matter of Streamlit's own settings
        access = {"host": _chosen.host, "token": _chosen.token}
        _middleware.insert(0, Middleware(AccessControl, **access))
    app = st.App(
        Path(__file__).resolve(),
        routes=[WebSocketRoute("/live", stream.answer)],
        middleware=_middleware,
    )
