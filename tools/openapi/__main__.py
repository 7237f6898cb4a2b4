"""Writes the description of the API."""

from cpor_app.http.route_table import operations
from tools.openapi import FILE, text


def main() -> None:
    """Write the description to the file that the app serves."""
    FILE.write_text(text(), encoding="utf-8")
    print(f"{FILE.name}: {len(operations())} operations")


if __name__ == "__main__":
    main()
