"""Limits the number, the size and the duration of HTTP requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from emotion.web import uploads

if TYPE_CHECKING:
    from starlette.requests import Request

    from emotion.web.uploads import Limits

FRAME = 64 * 1024  # bytes that multipart/form-data may add to a file
RETRY_AFTER = 10  # seconds; a clip of a few seconds takes about as long


class RequestLimits:
    """ASGI middleware: no more uploads at once than the line holds, none too large or too slow.

    Starlette puts a whole body on disk before any limit of ours could see it.

    Args:
        app: ASGI application.
        limits: uploads.Limits.
    """

    def __init__(self, app: Any, limits: Limits):
        self.app, self.limits, self._inside = app, limits, 0

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        """Answers a request, or refuses it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        send = self._sending(send)
        if scope["method"] != "POST":
            return await self.app(scope, receive, send)
        if self._inside > self.limits.queue_size:
            busy = uploads.Busy(f"{self._inside} recordings wait already; try again later.")
            refusal = await refuse(503, None, busy)
            return await refusal(scope, receive, send)
        self._inside += 1
        try:
            await self.app(scope, self._receiving(scope, receive), send)
        except ClientDisconnect:
            pass  # the client is gone
        finally:
            self._inside -= 1

    def _receiving(self, scope, receive):
        declared = int(Headers(scope=scope).get("content-length", 0))
        deadline = anyio.current_time() + self.limits.transfer
        size, whole = 0, False

        async def take():
            nonlocal size, whole
            if whole:
                return await receive()
            self.limits.check_size(max(size, declared) - FRAME)
            try:
                with anyio.fail_after(deadline - anyio.current_time()):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(
                    408,
                    f"a file must arrive within {self.limits.transfer:g} seconds; "
                    "send a smaller one.",
                    {"Connection": "close"},
                ) from None
            size, whole = size + len(message.get("body", b"")), not message.get("more_body")
            return message

        return take

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
