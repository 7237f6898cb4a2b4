"""
`make soak`: two hosts over one storage, many callers, kills; then the tables are read and judged.

Exit code 0 when every statement of `verify.py` holds, 1 when one does not, 130 after Ctrl-C.
"""

import argparse
import asyncio
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.soak.journal import Journal
from tests.soak.running import Plan, soaking
from tests.soak.seen import Seen
from tests.soak.verify import STATEMENTS, violations

INTERRUPTED = 130
MOST_SHOWN = 10
"""Places of one violated statement; the rest are counted."""


def main() -> int:
    """Run, report, and keep the journal, the logs and the tables of a run that failed."""
    plan = _asked()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    print(
        f"Seed {plan.seed}: {plan.callers} callers, {plan.seconds} s, {plan.kills} kills; logs in {folder}", flush=True
    )
    began = time.monotonic()
    failed = True
    try:
        with soaking(plan, folder) as soak:
            seen = asyncio.run(soak.run())
        (folder / "tables.json").write_text(json.dumps(seen.tables, default=str, indent=1), encoding="utf-8")
        found = violations(seen)
        failed = bool(found)
        print(_report(seen, soak.world.journal, time.monotonic() - began))
        for statement, places in found.items():
            print(f"\nNOT TRUE: {statement}")
            print("\n".join(f"  {place[:400]}" for place in places[:MOST_SHOWN]))
            if len(places) > MOST_SHOWN:
                print(f"  and {len(places) - MOST_SHOWN} more")
        if failed:
            (folder / "tables.json").write_text(json.dumps(seen.tables, default=str, indent=1), encoding="utf-8")
            print(
                f"\nAgain: make soak SEED={plan.seed} SECONDS={plan.seconds} KILLS={plan.kills} CALLERS={plan.callers}"
            )
            print(f"Tables, journal and logs: {folder}")
        else:
            print(f"All {len(STATEMENTS)} statements hold.")
    except KeyboardInterrupt:
        print("Interrupted: everything that was started has been ended.", file=sys.stderr)
        failed = False
        return INTERRUPTED
    finally:
        if not failed:
            shutil.rmtree(folder)
    return int(failed)


def _asked() -> Plan:
    parser = argparse.ArgumentParser(prog="make soak", description="Two hosts, many callers, kills, and a look at it.")
    parser.add_argument("--seconds", type=int, default=600, help="how long callers call; 600")
    parser.add_argument("--kills", type=int, default=20, help="SIGKILLs in that time; 20")
    parser.add_argument("--callers", type=int, default=12, help="people who call at the same time; 12")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(10**6), help="what callers and kills are drawn from"
    )
    asked = parser.parse_args()
    if asked.seconds < 1 or asked.kills < 0 or asked.callers < 1:
        parser.error("--seconds and --callers are at least 1, --kills at least 0")
    return Plan(asked.seconds, asked.kills, asked.seed, asked.callers)


def _report(seen: Seen, journal: Journal, seconds: float) -> str:
    statuses = Counter(claim["status"] for claim in seen.claims.values())
    acts = Counter(entry["act"] for entries in seen.histories.values() for entry in entries)
    mails = Counter(seen.mails)
    lines = {
        "requests": f"{journal.requests}, {journal.lost} of them unanswered or told to come again; {seen.kills} kills",
        "answered": _counted(journal.counts()),
        "claims": f"{len(seen.claims)}: {_counted(statuses)}",
        "history": f"{acts.total()} entries: {_counted(acts)}",
        "mails": f"{len(mails)}, {len(seen.mails) - len(mails)} copies",
        "receipts": f"{sum(1 for _ in seen.rows('receipts'))} of {sum(1 for _ in seen.told('figures'))} answers",
        "slots": str(len(seen.slots)),
        "took": f"{seconds:.0f} s",
    }
    return "\n".join(f"{name:<9} {text}" for name, text in lines.items())


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


if __name__ == "__main__":
    sys.exit(main())
