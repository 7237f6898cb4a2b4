"""
`python -m devhost.stack.token --role A,B --tenant GUID [--app]` prints a bearer token of the local issuer.

After a wrong role or tenant it prints one line to standard error and ends with exit status 2.
"""

import argparse
import os
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from cpor_core.model.caller import Role
from devhost.stack.issuer import IssuerBroken, LocalIssuer

DEFAULT_STATE_DIR = ".local"


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print the error in one line, without the usage."""
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str]) -> int:
    """Print a token. Return the exit status."""
    parser = _OneLineParser(prog="token", description="Print a bearer token of the sandbox's local issuer.")
    parser.add_argument("--role", required=True, type=_roles, help="one app role, or several with commas")
    parser.add_argument("--tenant", required=True, type=_tenant, help="the caller's Entra tenant, a GUID")
    parser.add_argument("--app", action="store_true", help="the token of an app in place of a person")
    asked = parser.parse_args(arguments)
    state_dir = Path(os.environ.get("CPOR_STATE_DIR") or DEFAULT_STATE_DIR)
    try:
        token = LocalIssuer.open(state_dir).sign(asked.role, asked.tenant, app=asked.app)
    except (IssuerBroken, OSError) as error:
        sys.stderr.write(f"token: {error}\n")
        return 1
    sys.stdout.write(token + "\n")
    return 0


def _roles(text: str) -> list[str]:
    """Return the roles in *text*, which separates them with commas. Repeated roles are dropped."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    unknown = [name for name in names if name not in set(Role)]
    if unknown:
        message = f"no such role: {unknown[0]!r}; there are {', '.join(Role)}"
        raise argparse.ArgumentTypeError(message)
    return names


def _tenant(text: str) -> str:
    """Return the GUID in the form that tokens have: lower case, with hyphens."""
    try:
        tenant = str(uuid.UUID(text))
    except ValueError:
        tenant = None
    if tenant is None or tenant != text.lower():
        message = f"the tenant must be a GUID such as 00000000-0000-4000-8000-00000000c0de, not {text!r}"
        raise argparse.ArgumentTypeError(message)
    return tenant


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
