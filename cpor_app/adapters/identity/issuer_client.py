"""Asking the token issuer over HTTP: bounded in time and size, at just that address, and off the event loop."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

CHUNK_BYTES = 64 * 1024


class FetchFailed(Exception):
    """Nothing whole came from there; the message is the kind of error, and nothing that was sent."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was answered: any status, a redirect too."""

    status: int
    body: bytes


async def fetch(url: str, timeout_seconds: float, max_bytes: int) -> Fetched:
    """
    Return what lies at *url*: `https:`, and as the settings allow, `http:` or `file:`.

    No redirect is followed, no proxy asked and nothing unpacked. The limit of time is for the whole of it, however
    slowly the answer drips. Raises FetchFailed.
    """
    if urlsplit(url).scheme == "file":
        return await _read(url, max_bytes)
    import aiohttp  # 100 ms, and the sandbox's keys lie in a file

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
