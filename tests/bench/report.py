"""The results of the bench as JSON and as a table."""

import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tests.bench.measuring import Block, Line, Round
from tools.pages.markdown import table

HEAD = (
    "what",
    "at once",
    "requests",
    "speed, lowest",
    "median",
    "highest",
    "CPU, lowest",
    "median",
    "highest",
    "CPU of the service, ms",
    "of the SDK, ms",
)
GROWTH = ("what", "claims stored", "requests", "CPU of the service", "of the SDK", "growth")


def as_json(lines: Iterable[Line]) -> str:
    """Return the results: each round of each line, with its ratios, and what it ran on."""
    report = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "lines": [
            {
                **asdict(line),
                "requests": line.requests,
                "speed": dict(zip(("min", "median", "max"), line.ratios("seconds"), strict=True)),
                "cpu": dict(zip(("min", "median", "max"), line.ratios("cpu"), strict=True)),
            }
            for line in lines
        ],
    }
    return json.dumps(report, indent=1)


def lines_of(report: Mapping[str, Any]) -> Sequence[Line]:
    """Return the lines of a report in JSON."""
    return [
        Line(
            line["what"],
            line["at_once"],
            [Round(Block(**each["service"]), Block(**each["floor"])) for each in line["rounds"]],
            line["stored"],
        )
        for line in report["lines"]
    ]


def as_table(lines: Iterable[Line]) -> str:
    """Return the tables as docs/speed.md has them: all lines, and how the lines grow with what is stored."""
    lines = tuple(lines)
    return "\n".join((*table(HEAD, map(tuple, map(_cells, lines))), "", *table(GROWTH, _grown(lines))))


def _cells(line: Line) -> Iterator[str]:
    yield line.what if line.stored is None else f"{line.what}, {line.stored:,} claims stored"
    yield str(line.at_once)
    yield _requests(line)
    yield from (f"{ratio:.2f}" for of in ("seconds", "cpu") for ratio in line.ratios(of))
    yield f"{line.milliseconds('service'):.1f}"
    yield f"{line.milliseconds('floor'):.1f}"


def _requests(line: Line) -> str:
    return f"{line.requests:.1f}".removesuffix(".0")


def _grown(lines: Sequence[Line]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each call that was measured twice, with few claims stored and with many."""
    by_call: dict[str, list[Line]] = {}
    for line in lines:
        if line.stored is not None:
            by_call.setdefault(line.what, []).append(line)
    for what, (few, *_, many) in by_call.items():
        service, floor = (many.milliseconds(who) / few.milliseconds(who) for who in ("service", "floor"))
        stored = f"{few.stored:,} → {many.stored:,}"
        requests = f"{_requests(few)} → {_requests(many)}"
        yield what, stored, requests, f"× {service:.2f}", f"× {floor:.2f}", f"{service / floor:.2f}"
