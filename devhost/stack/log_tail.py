"""Shows the warnings and errors of a log on the terminal."""

import os
import re
import threading
from contextlib import suppress
from pathlib import Path

_EVERY_SECONDS = 0.3
_ENTRY = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?P<level>[A-Z]+) ")
_QUIET = frozenset({b"DEBUG", b"INFO"})
_STANDARD_ERROR = 2


class LogTail:
    """
    Reads a growing log and writes its warnings, errors and stack traces to standard error.

    It has its own thread, so that a blocked terminal does not block the stack.
    """

    def __init__(self, log: Path) -> None:
        """Follow *log* from its beginning."""
        self._log = log
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Show the rest of the log, and end the thread."""
        self._ended.set()
        self._thread.join(_EVERY_SECONDS * 3)

    def _follow(self) -> None:
        quiet, rest = False, b""
        with suppress(OSError), self._log.open("rb") as log:
            last = False
            while not last:
                last = self._ended.wait(_EVERY_SECONDS)
                *lines, rest = (rest + log.read()).split(b"\n")
                for line in lines:
                    entry = _ENTRY.match(line)
                    # A line without time and level, such as a line of a stack trace, belongs to the entry before it.
                    quiet = entry["level"] in _QUIET if entry else quiet
                    if not quiet:
                        os.write(_STANDARD_ERROR, line + b"\n")
