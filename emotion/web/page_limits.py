"""Limits what the visitors of the page may upload."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit
from starlette.datastructures import Headers
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from emotion.web.uploads import Limits


class PageLimits:
    """ASGI middleware for Streamlit, which keeps uploads in memory until their visitor has left.

    Args:
        app: ASGI application.
        limits: uploads.Limits; a visitor has room for the files of two requests.
    """

    def __init__(self, app: ASGIApp, limits: Limits):
        self.app, self.limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or refuses it."""
        if scope["type"] == "http" and scope["method"] == "PUT":
            *_, session, _ = scope["path"].rsplit("/", 2)
            size = int(Headers(scope=scope).get("content-length", 2e6 * self.limits.megabytes))
            if sentence := self._beyond(session, size):
                answer = JSONResponse({"detail": sentence}, 413)
                return await answer(scope, receive, send)
        await self.app(scope, receive, send)

    def _beyond(self, session, size):
        """A sentence where a further file of `size` bytes is too much for a visitor, or for all."""
        files = streamlit.runtime.get_instance().uploaded_file_mgr.file_storage
        held = {
            visitor: sum(len(file.data) for file in list(uploaded.values()))
            for visitor, uploaded in list(files.items())
        }
        if held.get(session, 0) + size > 2e6 * self.limits.megabytes:
            return f"a visitor may upload {2 * self.limits.megabytes:g} MB; load the page anew."
        if sum(held.values()) + size > 1e6 * self.limits.total:
            return f"{self.limits.total:g} MB of files are here; try again later."
        return None
