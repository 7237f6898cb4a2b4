"""The start of a process: the import of the app and of a handler, and the import of the packages that they load."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tests.bench.measuring import Block, Line, Round
from tests.support.azurite import ROOT

APP = "import function_app; function_app.app.get_functions()"
HANDLER = "import cpor_app.functions; cpor_app.functions.handler({!r})"
STARTS: Mapping[str, str] = {
    "start, until the host knows every function": APP,
    **{
        f"start, with the module of {name}": f"{APP}; {HANDLER.format(name)}"
        for name in ("get_claim", "notify_customer")
    },
}
LOADED = """
import json, sys
files = {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
print(json.dumps([name for name, file in files.items() if "site-packages" in file]))
"""
IMPORT = """
import sys
for name in sys.argv[1:]:
    __import__(name)
"""
TIMED = """
import sys, time
began, cpu = time.perf_counter(), time.process_time()
exec(sys.argv.pop(1))
print(time.perf_counter() - began, time.process_time() - cpu)
"""


def starts(times: int) -> Sequence[Line]:
    """Measure new processes in turns: the app, and the packages alone. The first of each writes byte code."""
    lines = []
    for what, program in STARTS.items():
        packages = json.loads(_run(f"{program}\n{LOADED}"))
        rounds = [Round(_timed(program), _timed(IMPORT, *packages)) for _ in range(1 + times)]
        lines.append(Line(what, 1, rounds[1:]))
    return lines


def _timed(program: str, *given: str) -> Block:
    seconds, cpu = map(float, _run(TIMED, program, *given).split())
    return Block(1, 0, seconds, cpu)


def _run(program: str, *given: str) -> str:
    command = [sys.executable, "-c", program, *given]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120).stdout
