"""
Keeps the catalogues of `cpor_app/locale` in step with the templates.

    python -m tools.messages update     write new sentences into every catalogue, and remove unused sentences
    python -m tools.messages check      print what is missing, change nothing; exit status 1 if anything is missing
    python -m tools.messages new de     begin the catalogue of another language
"""

import re
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = ROOT / "cpor_app" / "templates"
LOCALE = ROOT / "cpor_app" / "locale"
PLACEHOLDER = re.compile(r"%\((\w+)\)s")
LINE_WIDTH = 120


def extracted() -> Catalog:
    """Return every sentence of the templates. Line numbers are left out, because each edit would change them."""
    catalogue = Catalog(project="cpor", charset="utf-8")
    method = "jinja2.ext:babel_extract"
    found = extract_from_dir(TEMPLATES, method_map=[("**.html", method), ("**.txt", method), ("**.jinja", method)])
    for file, _line, message, comments, context in sorted(found, key=lambda entry: (str(entry[0]), entry[1])):
        catalogue.add(message, None, [(f"cpor_app/templates/{file}", 0)], auto_comments=comments, context=context)
    return catalogue


def po_files() -> list[Path]:
    """Return the catalogue of each language."""
    return sorted(LOCALE.glob("*/LC_MESSAGES/cpor.po"))


def read(path: Path) -> Catalog:
    """Return the catalogue in a file."""
    with path.open("rb") as po:
        return read_po(po, locale=path.parents[1].name)


def updated(catalogue: Catalog, template: Catalog) -> bytes:
    """Return the text of *catalogue* with exactly the sentences of *template*. Their translations stay."""
    catalogue.update(template, no_fuzzy_matching=True, update_creation_date=False)
    written = BytesIO()
    write_po(written, catalogue, width=LINE_WIDTH, include_lineno=False, sort_output=False, ignore_obsolete=True)
    return written.getvalue()


def faults(catalogue: Catalog, template: Catalog) -> Iterator[str]:
    """Yield the faults of *catalogue*: untranslated, doubtful or unused sentences, and wrong placeholders."""
    for wanted in template:
        if not wanted.id:
            continue
        message = catalogue.get(wanted.id, wanted.context)
        if message is None or not all(_translations(message)):
            yield f"not translated: {wanted.id!r}"
        elif message.fuzzy:
            yield f"marked as doubtful (fuzzy): {wanted.id!r}"
        elif any(_placeholders(text) != _placeholders(_source(wanted)) for text in _translations(message)):
            yield f"other placeholders than the original: {wanted.id!r}"
    for message in catalogue:
        if message.id and template.get(message.id, message.context) is None:
            yield f"no longer used: {message.id!r}"


def _begun(language: str) -> Catalog:
    header = f"# The sentences that customers and partners read, in {Locale.parse(language).english_name}."
    catalogue = Catalog(
        locale=language, project="cpor", version="1", header_comment=header, charset="utf-8", fuzzy=False
    )
    catalogue.msgid_bugs_address = catalogue.last_translator = catalogue.language_team = ""
    catalogue.revision_date = catalogue.creation_date
    return catalogue


def _source(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[-1]


def _translations(message: Message) -> tuple[str, ...]:
    return (message.string,) if isinstance(message.string, str) else tuple(message.string or ("",))


def _placeholders(text: str) -> list[str]:
    return sorted(PLACEHOLDER.findall(text))


def main(arguments: list[str]) -> int:
    """Run one of the commands above. Returns 0 if there are no faults, and 2 for an unknown command."""
    template = extracted()
    match arguments:
        case ["update"]:
            for path in po_files():
                path.write_bytes(updated(read(path), template))
        case ["new", language]:
            path = LOCALE / language / "LC_MESSAGES" / "cpor.po"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(updated(_begun(language), template))
            print(f"{path.relative_to(ROOT)} has no translations yet.")
            return 0
        case ["check"]:
            pass
        case _:
            print(__doc__)
            return 2
    found = [f"{path.relative_to(ROOT)}: {fault}" for path in po_files() for fault in faults(read(path), template)]
    print("\n".join(found) or "All catalogues are complete.")
    return 1 if found and arguments == ["check"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
