"""Runs independent work at the same time."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

Result = TypeVar("Result")


async def together(work: Iterable[Awaitable[Result]]) -> list[Result]:
    """Return all results in their order. The first fault is raised only when all work has ended."""
    results: list[Result] = []
    for ended in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended
        results.append(ended)
    return results
