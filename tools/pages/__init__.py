"""Makes the parts of `docs` that come from the code. `python -m tools.pages` writes them."""
