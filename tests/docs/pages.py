"""What the tests of the documentation read in it."""

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"

_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def pages() -> Sequence[Path]:
    """Return every page of Markdown that belongs to the repository, or could: what a machine makes is left out."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    answer = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=False)
    named = answer.stdout.splitlines() if answer.returncode == 0 else ["README.md", *_below_docs()]
    return [ROOT / name for name in named if (ROOT / name).exists()]


def _below_docs() -> Iterator[str]:
    return (str(path.relative_to(ROOT)) for path in DOCS.glob("*.md"))


def links(page: Path) -> Sequence[str]:
    """Return the addresses that *page* links to, code aside."""
    return _LINK.findall(_CODE.sub("", page.read_text("utf-8")))


def anchors(page: Path) -> set[str]:
    """Return the anchors of *page*: those that GitHub makes of headings, and those that the page sets itself."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="([\w-]+)"></a>', text))


def codes(text: str) -> Sequence[str]:
    """Return what stands between backticks in *text*, fences aside."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def paths(text: str) -> Sequence[str]:
    """Return what is written as code in *text* and looks like a file or folder of the repository."""
    written = (re.fullmatch(r"([\w.-]+)(/[\w.-]+)+/?", name) for name in codes(text))
    return [name[0] for name in written if name is not None and (ROOT / name[1]).exists()]


def section(page: Path, heading: str) -> str:
    """Return what stands under a heading of the second rank."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None, f"{page.name} has no section {heading!r}"
    return found[1]
