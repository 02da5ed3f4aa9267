"""The HTTP interface: predictions and annotated videos of uploaded recordings.

1. `RequestLimits` admits recordings: no more at once than the queue holds, none too large or too
   slow.
2. `_worked` keeps one in a private folder and has it worked on in a process that can be killed,
   until its sender leaves.
3. The answer is JSON, or a video from a file without a name. Nothing stays, whoever goes away.
"""

import asyncio
import os
import shutil
import tempfile
import threading
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import anyio
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from emotion.clip import MediaError
from emotion.files import FULL
from emotion.web import uploads, work
from emotion.web.request_limits import RequestLimits, refuse

if TYPE_CHECKING:
    from emotion.web.uploads import WorkQueue

CHUNK = 64 * 1024  # bytes read or sent at once
FORM = (
    "send one file, as the part `file` of multipart/form-data; the sound of a video may come with "
    "it in a file of its own, as the part `audio`"
)


class Window(BaseModel):
    """The prediction of a face in a window; each class is a field too."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float]

    start: float
    end: float
    track: int | None
    x1: float | None
    y1: float | None
    x2: float | None
    y2: float | None
    has_audio: bool
    has_face: bool
    label: str
    confidence: float


class Predictions(BaseModel):
    """The content of `--predictions FILE.json`: times in seconds, boxes in pixels."""

    version: str
    duration: float
    windows: list[Window]


class Model(BaseModel):
    """The run that predicts; `window` in seconds."""

    preset: str
    labels: list[str]
    modality: str
    window: float


class Health(BaseModel):
    """`waiting` counts the recordings that are worked on or in line."""

    status: str
    waiting: int


class Refusal(BaseModel):
    """Why there is no prediction."""

    detail: str


_REFUSALS = {
    400: "The body is no multipart/form-data with one file and at most one sound",
    408: "The file took too long to arrive",
    413: "The body, the recording, its pictures or the work on it exceed a limit",
    415: "The body is not multipart/form-data",
    422: "The file is missing, or is no recording that can be used",
    503: "Too many recordings wait already, or too large ones",
    507: "The disk is full",
}
_SECONDS = {"description": "Seconds", "schema": {"type": "integer"}, "required": True}
_REFUSED: dict[int | str, dict] = {
    status: {"model": Refusal, "description": why} for status, why in _REFUSALS.items()
}
_REFUSED[503]["headers"] = {"Retry-After": _SECONDS}
_FILE = {"type": "string", "format": "binary", "description": "A video or a sound file"}
_AUDIO = _FILE | {"description": "A file whose sound takes the place of the video's own"}
_BODY = {"type": "object", "required": ["file"], "properties": {"file": _FILE, "audio": _AUDIO}}
_BODY["additionalProperties"] = False
_MEDIA = {"contentType": "video/*, audio/*"}
_PARTS = {"schema": _BODY, "encoding": {"file": _MEDIA, "audio": _MEDIA}}
_UPLOAD = {"requestBody": {"required": True, "content": {"multipart/form-data": _PARTS}}}
_VIDEO = {"description": "The annotated video", "content": {"video/mp4": {"schema": _FILE | {
    "description": "H.264, with the sound of the recording"}}}}  # fmt: skip


def create_app(queue: "WorkQueue", model: dict) -> "FastAPI":
    """Creates the HTTP interface of a recogniser.

    Args:
        queue: uploads.WorkQueue.
        model: dict of `work.describe`.

    Returns:
        fastapi.FastAPI.
    """
    # Threads of their own: those who wait for their turn must not keep others from being received.
    threads = anyio.CapacityLimiter(queue.limits.queue_size + 1)
    app = FastAPI(title="emotion", description=__doc__.splitlines()[0])
    app.add_middleware(RequestLimits, queue=queue)
    for error, status in ((uploads.Busy, 503), (uploads.TooMuch, 413), (MediaError, 422)):
        app.add_exception_handler(error, partial(refuse, status))
    app.add_exception_handler(OSError, _without_space)
    app.add_exception_handler(500, _fail)

    @app.get("/health")
    async def health() -> Health:
        """Answers while the server runs, however much it works."""
        return Health(status="ok", waiting=queue.waiting)

    @app.get("/model")
    async def described() -> Model:
        """Describes the run."""
        return Model(**model)

    @app.post("/predict", responses=_REFUSED, openapi_extra=_UPLOAD)
    async def predict(request: Request) -> Predictions:
        """Predicts each face of a recording in each window."""
        return await _worked(request, queue, threads, work.predict)

    @app.post("/annotate", responses=_REFUSED | {200: _VIDEO}, openapi_extra=_UPLOAD,
              response_class=StreamingResponse)  # fmt: skip
    async def annotate(request: Request):
        """Returns a video with boxes and predictions drawn, and its sound."""
        file = await _worked(request, queue, threads, work.annotate)
        size = os.fstat(file.fileno()).st_size
        named = 'attachment; filename="annotated.mp4"'
        headers = {"Content-Length": str(size), "Content-Disposition": named}
        return _VideoResponse(file, media_type="video/mp4", headers=headers)

    return app


async def _worked(request, queue, threads, function):
    """Receives the recording of a request and has it worked on, until its sender leaves.

    Args:
        request: Request.
        queue: uploads.WorkQueue.
        threads: anyio.CapacityLimiter.
        function: `work.predict` or `work.annotate`.

    Returns:
        What the function returned; the annotated video as an open file without a name.

    Raises:
        HTTPException, Busy, TooMuch, MediaError: the request is refused.
        ClientDisconnect: its sender has gone.
    """
    gone = threading.Event()

    def progress(*_):
        if gone.is_set():
            raise ClientDisconnect

    def run(files):
        chunks, *sound = (iter(partial(file.read, CHUNK), b"") for file in files)
        with uploads.received(chunks, queue.limits, *sound) as path:
            for file in files:
                file.close()
            answer = queue.call(function, path, progress=progress)
            video = path.with_name(work.ANNOTATED)
            return _nameless(video) if video.exists() else answer

    async with _files(request) as files:
        with queue.place():
            leaving = asyncio.create_task(_leaves(request, gone))
            try:
                return await anyio.to_thread.run_sync(run, files, limiter=threads)
            finally:
                gone.set()  # where the server ends, this is what ends the thread
                leaving.cancel()


@asynccontextmanager
async def _files(request):
    """Yields the files of a request, whatever they are called: the recording, and its sound."""
    kind = request.headers.get("content-type", "").split(";")[0]
    if kind.strip().lower() != "multipart/form-data":
        raise HTTPException(415, f"{FORM}.")
    try:
        form = await request.form(max_files=2, max_fields=0)
    except HTTPException as error:
        if error.status_code != 400:
            raise
        raise HTTPException(400, f"{FORM}. Received: {error.detail}") from error
    try:
        names = sorted(name for name, _ in form.multi_items())
        if names not in (["file"], ["audio", "file"]):
            raise HTTPException(400 if "file" in names else 422, f"{FORM}.")
        yield [form[name].file for name in reversed(names)]
    finally:
        await form.close()


async def _leaves(request, gone):
    while (await request.receive())["type"] != "http.disconnect":
        pass
    gone.set()


def _nameless(path):
    """Returns a copy of a file without a name: it is gone when it is closed, by whomever."""
    file = tempfile.TemporaryFile()
    with open(path, "rb") as source:
        shutil.copyfileobj(source, file)
    file.seek(0)
    return file


class _VideoResponse(StreamingResponse):
    """An answer from a file, which is closed when the answer ends, however it ends."""

    def __init__(self, file, **options):
        super().__init__(iter(partial(file.read, CHUNK), b""), **options)
        self._file = file

    async def __call__(self, scope, receive, send):
        with self._file:
            await super().__call__(scope, receive, send)


async def _without_space(request, error):
    if error.errno not in FULL:
        raise error
    return await refuse(507, request, "the server has no room left on its disk; try again later.")


async def _fail(request, error):
    return JSONResponse({"detail": "the server failed; its log says why."}, 500)
