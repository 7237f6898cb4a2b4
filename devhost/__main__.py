"""`python -m devhost` runs the app in a folder until SIGTERM or SIGINT."""

import argparse
import os
import sys
from pathlib import Path

from devhost.host.cannot_start import CannotStart
from devhost.host.config import Config
from devhost.host.server import log_to_stderr, serve

_ENDED_BY_SIGINT = 128 + 2


def main() -> int:
    """Return the exit status: 0 after a requested stop, 130 after SIGINT at the start, 1 if the app cannot start."""
    parser = argparse.ArgumentParser(prog="python -m devhost", description="Runs function_app.py on this machine.")
    parser.add_argument("--app", type=Path, default=Path(), help="the folder of function_app.py and host.json")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--port", type=int, help="0 means any free port; default: the port in local.settings.json, else 7071"
    )
    asked = parser.parse_args()
    log_to_stderr()
    try:
        config = Config.load(asked.app, os.environ)
        serve(config, asked.host, config.port if asked.port is None else asked.port)
    except CannotStart as fault:
        print(f"devhost: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _ENDED_BY_SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
