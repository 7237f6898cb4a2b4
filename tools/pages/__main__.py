"""
Writes the parts of `docs` that are made from the code. Each part is between two comments, and the first one names it.

    python -m tools.pages            write them
    python -m tools.pages check      print the pages that differ from the code; exit status 1 if any differs
"""

import sys

from tools.pages.book import DOCS, made, page


def main(arguments: list[str]) -> int:
    """Run one of the commands above. Returns 0 if no page differs, and 2 for an unknown command."""
    if arguments not in ([], ["check"]):
        print(__doc__)
        return 2
    blocks = made()
    stale = [path for path in sorted(DOCS.glob("*.md")) if page(path, blocks) != path.read_text("utf-8")]
    for path in stale:
        print(f"docs/{path.name}{' differs from the code: run `make docs`' if arguments else ''}")
        if not arguments:
            path.write_text(page(path, blocks), encoding="utf-8")
    return 1 if stale and arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
