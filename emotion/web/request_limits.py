"""Limits the number, the size and the duration of HTTP requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from emotion.web import uploads

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from emotion.web.uploads import WorkQueue

FRAME = 64 * 1024  # bytes that multipart/form-data may add to a file
SILENCE = 10.0  # seconds without a byte of a body; also a start for which no rate is asked
RATE = 8000  # bytes per second that a body must have on average
RETRY_AFTER = 10  # seconds; a clip of a few seconds takes about as long


class RequestLimits:
    """ASGI middleware: no upload where the queue is full, none too large or too slow, nor in sum.

    Starlette puts a whole body on disk before any limit of ours could see it. A place in the queue
    is taken later, when the body has arrived.

    Args:
        app: ASGI application.
        queue: uploads.WorkQueue.
    """

    def __init__(self, app: ASGIApp, queue: WorkQueue):
        self.app, self.queue, self.limits = app, queue, queue.limits
        self.held = 0  # bytes of bodies whose requests are not answered yet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or refuses it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        send = self._sending(send)
        if scope["method"] != "POST":
            return await self.app(scope, receive, send)
        try:
            self.queue.check_place()
        except uploads.Busy as error:
            refusal = await refuse(503, None, error)
            return await refusal(scope, receive, send)
        body = _Body(self, scope, receive)
        try:
            await self.app(scope, body.receive, send)
        except ClientDisconnect:
            pass  # the client is gone
        finally:
            self.held -= body.size

    def _sending(self, send):
        deadline = None

        async def give(message):
            nonlocal deadline
            if message["type"] == "http.response.start":
                deadline = anyio.current_time() + self.limits.transfer
                MutableHeaders(scope=message)["X-Content-Type-Options"] = "nosniff"
            try:
                with anyio.fail_after(deadline - anyio.current_time()):
                    await send(message)
            except TimeoutError:
                raise ClientDisconnect from None

        return give


class _Body:
    """The body of a request as it arrives: `receive` takes the place of the server's own."""

    def __init__(self, middleware, scope, receive):
        self._sum, self._limits, self._receive = middleware, middleware.limits, receive
        self._declared = int(Headers(scope=scope).get("content-length", 0))
        self._begun = anyio.current_time()
        self._whole = False
        self.size = 0

    async def receive(self):
        if self._whole:
            return await self._receive()
        self._limits.check_size(max(self.size, self._declared) - FRAME)
        elapsed = anyio.current_time() - self._begun
        left = min(self._limits.transfer, SILENCE + self.size / RATE) - elapsed
        try:
            with anyio.fail_after(min(left, SILENCE)):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(
                408,
                f"a file must arrive within {self._limits.transfer:g} seconds, and at "
                f"{RATE / 1000:g} KB per second or more; send a smaller one, or send it faster.",
                {"Connection": "close"},
            ) from None
        size = len(message.get("body", b""))
        self.size, self._whole = self.size + size, not message.get("more_body")
        self._sum.held += size
        if self._sum.held > 1e6 * self._limits.total:
            raise uploads.Busy(f"{self._limits.total:g} MB of files are here; try again later.")
        return message


async def refuse(status: int, request: Request | None, error: object) -> JSONResponse:
    """Answers an exception with a status and its sentence.

    Args:
        status: int; with 503 the answer says when to try again.
        request: Request, or None.
        error: Exception.

    Returns:
        JSONResponse.
    """
    headers = {"Retry-After": str(RETRY_AFTER)} if status == 503 else None
    return JSONResponse({"detail": str(error)}, status, headers)
