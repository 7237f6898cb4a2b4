"""The only source of randomness for ids: everything else gets its ids handed in, so that tests can foresee them."""

import secrets


def new_id() -> str:
    """Return 32 random hexadecimal digits, which nobody can guess and no two calls share."""
    return secrets.token_hex(16)
