"""
What callers were answered, one JSON line each, written down before anything else is asked.

| `what` | besides `at` and `did` |
|---|---|
| `act` | `claim`, `hash`: the claim's history ended with it |
| `comment`, `evidence`, `deleted`, `press` | `claim`; `text`, `sha256`, –, – |
| `registered`, `figuresLoaded`, `imported` | `tenant`; `sent`, `month` and `item`, `partnerId` and `item` |
| `erased`, `figures` | `email`, `claim` |
| `unfit` | `answer`: what should never be answered |
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass
class Journal:
    """The log of one run; `at` is the real instant of the answer."""

    path: Path
    requests: int = 0
    lost: int = 0
    """Requests that got no answer, or were told to come again."""
    records: list[dict[str, Any]] = field(default_factory=list)

    def note(self, what: str, did: str, **more: Any) -> None:
        """Write down an answer."""
        record = {"at": datetime.now(UTC).isoformat(), "what": what, "did": did, **more}
        self.records.append(record)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def counts(self) -> Counter[str]:
        """Return how often each thing was done."""
        return Counter(record["did"] for record in self.records)
