"""
`python -m devhost.stack.exit_with_parent` runs the host until its standard input ends.

Its standard input is a pipe from the stack. When the stack ends, even by a kill, the pipe closes and the host ends too.
Apart from that it runs the host as `python -m devhost` does.
"""

import os
import signal
import sys
import threading

from devhost.__main__ import main

_STANDARD_INPUT = 0


def _end_with_input() -> None:
    while os.read(_STANDARD_INPUT, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_input, daemon=True).start()
    sys.exit(main())
