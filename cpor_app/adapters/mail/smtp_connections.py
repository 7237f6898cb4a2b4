"""Keeps connections to the mail server open for a moment, so that the next mail needs no new connection."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiosmtplib import SMTP

IDLE_SECONDS = 10.0
"""How long a connection waits for the next mail. Mail servers wait longer for the next command."""
QUIT_LIMIT_SECONDS = 2.0
"""The time limit for QUIT. All mails of the connection are handed over before it."""


class IdleConnections:
    """
    The open connections of one event loop that no mail is using.

    A mail takes a connection for itself and returns it after the hand-over. A connection without a mail for 10 seconds
    is closed. When the event loop ends, all connections are closed.
    """

    def __init__(self) -> None:
        """Belong to the running event loop."""
        self.loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[SMTP, float]] = deque()
        self._closer: asyncio.Task[None] | None = None

    def take(self) -> "SMTP | None":
        """Return the connection that was used last, or None if no connection is open."""
        while self._waiting:
            server, since = self._waiting.pop()
            if server.is_connected and self.loop.time() < since + IDLE_SECONDS:
                return server
            server.close()
        return None

    def add(self, server: "SMTP") -> None:
        """Keep a connection for the next mail."""
        self._waiting.append((server, self.loop.time()))
        if self._closer is None or self._closer.done():
            self._closer = self.loop.create_task(self._close_unused())

    async def close(self) -> None:
        """Close all connections."""
        waiting = [server for server, _ in self._waiting]
        self._waiting.clear()
        await asyncio.gather(*(_quit(server) for server in waiting))
        if self._closer is not None:
            self._closer.cancel()
            await asyncio.wait((self._closer,))

    async def _close_unused(self) -> None:
        """Close each connection at the end of its time, until none is left. The oldest is the first."""
        try:
            while self._waiting:
                server, since = self._waiting[0]
                left = since + IDLE_SECONDS - self.loop.time()
                if left > 0:
                    await asyncio.sleep(left)
                else:
                    self._waiting.popleft()
                    await _quit(server)
        finally:
            for server, _ in self._waiting:
                server.close()


async def _quit(server: "SMTP") -> None:
    """Send QUIT and close the connection. The answer does not matter, because all mails are handed over already."""
    from aiosmtplib import SMTPException

    try:
        await server.quit(timeout=QUIT_LIMIT_SECONDS)
    except (SMTPException, OSError):
        return
    finally:
        server.close()
