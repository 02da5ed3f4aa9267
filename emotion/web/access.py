"""Who may talk to the server: programs and pages of this computer, and whoever has the token.

A page of any site can make a browser send requests to this computer, and under a name of its own
that it has point here (DNS rebinding) it can read the answers.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse
from starlette.websockets import WebSocketClose

if TYPE_CHECKING:
    from starlette.types import ASGIApp


class AccessControl:
    """ASGI middleware that refuses requests from pages of other sites, and those without the token.

    Args:
        app: ASGI application.
        host: str, the host name that the server was started with. Without a token, it is answered
            under that name, "localhost" and addresses in numbers alone.
        token: str, which each request must then have: as `Authorization: Bearer`, as `?token=`, or
            as the cookie that a browser gets for the latter; or None.
    """

    def __init__(self, app: ASGIApp, host: str = "localhost", token: str | None = None):
        self.app, self.host, self.token = app, host, token

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        """Answers a request, or refuses it."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        connection = HTTPConnection(scope)
        if refusal := self._refusal(connection):
            answer = _refuse(connection, *refusal)
        elif self.token and "token" in connection.query_params and _browses(connection):
            # The token leaves the address bar, the history and the Referer.
            answer = RedirectResponse(connection.url.remove_query_params("token"), 303)
            answer.set_cookie(_cookie(connection), self.token, httponly=True, samesite="lax")
        else:
            return await self.app(scope, receive, _unframed(send))
        await answer(scope, receive, send)

    def _refusal(self, connection):
        """(status, sentence) where the request is refused, else None."""
        headers = connection.headers
        asked = headers.get("host", "")
        if not self.token and asked and not _local(asked, self.host):
            return 403, (
                f"the server answers under localhost and {self.host} alone; start it with --token "
                f"to use another name. Received: {asked[:100]!r}."
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != asked.lower():
            return 403, f"pages of other sites may not use this. Received: {origin[:100]!r}."
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not _opens(connection):
            return 403, "pages of other sites may not use this."
        if self.token and not any(
            secrets.compare_digest(received.encode(), self.token.encode())
            for received in _tokens(connection)
        ):
            return 401, (
                "the token is missing or wrong; open the address that the server printed, or send "
                "the header `Authorization: Bearer TOKEN`."
            )
        return None


def token_for(host: str, token: str | None) -> tuple[str | None, str]:
    """Decides on the token of a server.

    Args:
        host: str, where it listens.
        token: str; "" for a new one; None for one only where others than this computer reach it.

    Returns:
        (token or None, warning or ""): what to tell on stderr.
    """
    loopback = host == "localhost" or _address(host) is not None and _address(host).is_loopback
    if token == "" or token is None and not loopback:
        token = secrets.token_urlsafe(24)
    warning = "" if loopback else (
        f"--host {host}: other computers reach this server, unencrypted; put a proxy with TLS in "
        "front of it. Whoever has the token below may use it."
    )  # fmt: skip
    return token, warning


def _local(asked, host):
    name = urlsplit(f"//{asked}").hostname or ""
    return name in ("localhost", host.lower()) or _address(name) is not None


def _address(name):
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _browses(connection):
    accepted = connection.headers.get("accept", "")
    return connection.scope.get("method") == "GET" and "text/html" in accepted


def _opens(connection):
    """Whether a link elsewhere opens a page as the window's own: its site cannot read that."""
    headers = connection.headers
    return _browses(connection) and headers.get("sec-fetch-dest") == "document"


def _tokens(connection):
    kind, _, received = connection.headers.get("authorization", "").partition(" ")
    return [
        received if kind.lower() == "bearer" else "",
        connection.query_params.get("token", ""),
        connection.cookies.get(_cookie(connection), ""),
    ]


def _cookie(connection):
    return f"emotion-{connection.url.port or 80}"  # cookies know no ports


def _refuse(connection, status, sentence):
    if connection.scope["type"] == "websocket":
        return WebSocketClose(1008, sentence[:100])
    if _browses(connection):
        return PlainTextResponse(sentence, status)
    return JSONResponse({"detail": sentence}, status)


def _unframed(send: Callable) -> Callable:
    async def give(message: dict) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = "frame-ancestors 'self'"
        await send(message)

    return give
