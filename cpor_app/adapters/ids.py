"""Makes all random ids. Other code gets ids as arguments, so that tests can choose them."""

import secrets


def new_id() -> str:
    """Return 32 random hexadecimal digits, unique and impossible to guess."""
    return secrets.token_hex(16)
