"""Runs independent work at the same time."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

Result = TypeVar("Result")


READS_AT_ONCE = 32
"""The most reads of one call that run at the same time."""


async def read_together(work: Iterable[Awaitable[Result]]) -> list[Result]:
    """Return all results like `together`, with at most 32 reads at the same time."""
    gate = asyncio.Semaphore(READS_AT_ONCE)

    async def read(one: Awaitable[Result]) -> Result:
        async with gate:
            return await one

    return await together(read(one) for one in work)


async def together(work: Iterable[Awaitable[Result]]) -> list[Result]:
    """Return all results in their order. The first fault is raised only when all work has ended."""
    results: list[Result] = []
    for ended in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended
        results.append(ended)
    return results
