"""
Run checkov over `infra/` and judge its report.

For checkov alone it is a success if it cannot read a file, or if a check is skipped that would pass. Both count as
failures here. `infra/checkov.yaml` lists the checks that are skipped, each with its reason.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CHECKOV = ROOT / ".venv-infra" / "bin" / "checkov"
SETTINGS = ROOT / "infra" / "checkov.yaml"
SKIPPED = re.compile(r"^  - (CKV\w+) # \w", re.MULTILINE)


def main() -> int:
    """Print every fault. Returns 0 if there is none."""
    skipped = SKIPPED.findall(SETTINGS.read_text("utf-8"))
    report = _report()
    complaints = list(complaints_of(report, skipped))
    for complaint in complaints:
        print(complaint)
    print(f"{report['summary']['passed']} checks passed, {len(skipped)} are skipped with a reason.", file=sys.stderr)
    return 1 if complaints else 0


def complaints_of(report: Mapping[str, Any], skipped: list[str]) -> Iterator[str]:
    """Yield every fault: failed checks, unread files, checks that are skipped without need, and an empty report."""
    failed = report["results"]["failed_checks"]
    for check in failed:
        if check["check_id"] not in skipped:
            yield f"{check['check_id']} {check['check_name']}: {check['file_path']} {check['resource']}"
    for needless in sorted(set(skipped) - {check["check_id"] for check in failed}):
        yield f"{needless} is skipped in infra/checkov.yaml, and nothing fails it."
    for unread in report["results"]["parsing_errors"]:
        yield f"checkov cannot read {unread}."
    if not report["summary"]["passed"]:
        yield "checkov found nothing to check."


def _report() -> dict[str, Any]:
    """
    Return checkov's report on every check, also on the skipped checks. It shows whether a skip is needed.

    Raises subprocess.CalledProcessError when checkov itself fails.
    """
    command = [str(CHECKOV), "--directory", "infra", "--framework", "bicep", "--output", "json"]
    quiet = ["--compact", "--soft-fail", "--skip-download"]
    ended = subprocess.run([*command, *quiet], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    report: dict[str, Any] = json.loads(ended.stdout)
    return report


if __name__ == "__main__":
    sys.exit(main())
