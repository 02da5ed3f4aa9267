"""Connections on which nothing is asked: closed in time, and never so many that others wait."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class BoundedConnection(H11Protocol):
    """uvicorn's HTTP connection, closed where the headers of a request do not come in time.

    Beyond `SILENT` of such connections, the one that has waited longest makes room for the next.
    """

    SILENT = 128
    SECONDS = 10.0
    _silent: ClassVar[dict[BoundedConnection, asyncio.TimerHandle]] = {}  # by age

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes a connection."""
        super().connection_made(transport)
        self._begin_wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets a connection."""
        self._end_wait()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Reads what has arrived."""
        super().handle_events()
        if self.conn.their_state is not h11.IDLE:
            self._end_wait()

    def on_response_complete(self) -> None:
        """Waits for the next request of the connection."""
        self._begin_wait()
        super().on_response_complete()

    def _begin_wait(self) -> None:
        self._end_wait()
        if len(self._silent) >= self.SILENT:
            next(iter(self._silent)).abort()
        self._silent[self] = self.loop.call_later(self.SECONDS, self.abort)

    def _end_wait(self) -> None:
        if timer := self._silent.pop(self, None):
            timer.cancel()

    def abort(self, *_: Any) -> None:
        """Closes the connection at once."""
        self._end_wait()
        self.transport.abort()
