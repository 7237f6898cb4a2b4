"""
Reads documents of the token issuer.

Each call has a limit of time and size, reads exactly one address, and does not block the event loop.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

CHUNK_BYTES = 64 * 1024


class FetchFailed(Exception):
    """No complete answer came. The message names the kind of error and holds no text from the issuer."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer of any status. A redirect is an answer too."""

    status: int
    body: bytes


async def fetch(url: str, timeout_seconds: float, max_bytes: int) -> Fetched:
    """
    Return the answer of *url*. Its scheme is `https:`. In the sandbox it can also be `http:` or `file:`.

    This follows no redirect, uses no proxy and decompresses nothing. The time limit is for the whole answer. Raises
    `FetchFailed`.
    """
    if urlsplit(url).scheme == "file":
        return await _read(url, max_bytes)
    import aiohttp  # the import takes 100 ms; the sandbox reads its keys from a file and never needs it

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
