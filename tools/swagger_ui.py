"""
Copy Swagger UI with its licences from npm's package into the app, for the page /docs.

    python -m tools.swagger_ui

npm has compared the package with the hash in package-lock.json. The copies are never committed. `make run`, `make test`
and `make package` make them if they are missing.
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = ROOT / "node_modules" / "swagger-ui-dist"
COPIES = ROOT / "cpor_app" / "swagger_ui"
FILES = ("swagger-ui-bundle.js", "swagger-ui.css", "swagger-ui-bundle.js.LICENSE.txt", "LICENSE", "NOTICE")


def main() -> int:
    """Copy the files. If npm's package is not installed, say what to do."""
    if not PUBLISHED.is_dir():
        print("Swagger UI is not installed: run npm ci, or any command of the Makefile that needs it.", file=sys.stderr)
        return 1
    copy()
    return 0


def copy() -> None:
    """Make the copies equal to the published files. Two processes can do so at the same time."""
    COPIES.mkdir(exist_ok=True)
    for name in FILES:
        published, target = (PUBLISHED / name).read_bytes(), COPIES / name
        if target.exists() and target.read_bytes() == published:
            continue
        with tempfile.NamedTemporaryFile(dir=COPIES, delete=False) as made:
            made.write(published)
        Path(made.name).chmod(0o644)
        Path(made.name).replace(target)


if __name__ == "__main__":
    sys.exit(main())
