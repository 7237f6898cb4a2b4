"""Asks the token issuer over HTTP: limited in time and size, at exactly one address, off the event loop."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

CHUNK_BYTES = 64 * 1024


class FetchFailed(Exception):
    """No complete answer came. The message is the kind of error, and holds nothing that was sent."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer of any status, also a redirect."""

    status: int
    body: bytes


async def fetch(url: str, timeout_seconds: float, max_bytes: int) -> Fetched:
    """
    Return the answer of *url*: `https:`, or `http:` and `file:` if the settings allow them.

    Follows no redirect, uses no proxy and decompresses nothing. The time limit is for the whole answer, however slowly
    it comes. Raises FetchFailed.
    """
    if urlsplit(url).scheme == "file":
        return await _read(url, max_bytes)
    import aiohttp  # takes 100 ms, and the sandbox's keys are in a file

    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=timeout_seconds),
                auto_decompress=False,
                trust_env=False,
            ) as session,
            session.get(url, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as response,
        ):
            body = bytearray()
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                body += chunk
                _verify_size(body, max_bytes)
            return Fetched(response.status, bytes(body))
    except (aiohttp.ClientError, OSError, ValueError) as error:  # a TimeoutError is an OSError
        raise FetchFailed(type(error).__name__) from None


async def _read(url: str, max_bytes: int) -> Fetched:
    try:
        body = await asyncio.to_thread(Path(url2pathname(urlsplit(url).path)).read_bytes)
    except OSError as error:
        raise FetchFailed(type(error).__name__) from None
    _verify_size(body, max_bytes)
    return Fetched(200, body)


def _verify_size(body: bytes | bytearray, max_bytes: int) -> None:
    if len(body) > max_bytes:
        raise FetchFailed(f"more than {max_bytes} bytes")
