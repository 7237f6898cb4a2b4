"""
`python -m devhost.stack.customer` registers a new customer, on the stack at `CPOR_HTTP_PORT`.

It prints one line: the tenant, the domain, and the id of the customer's subscription of Dynamics 365 Sales.
"""

import os
import sys

from devhost.host.cannot_start import CannotStart
from devhost.stack.api_client import ApiClient, UnexpectedAnswer, answers
from devhost.stack.functions_settings import public_url, state_directory
from devhost.stack.issuer import IssuerBroken, LocalIssuer
from devhost.stack.sample_registry import OPERATOR, NewCustomer
from devhost.stack.tcp_ports import StackPorts


def main() -> int:
    """Register the customer and print the line. Return the exit status: 0, or 1 with one message after a failure."""
    try:
        url = public_url(StackPorts.from_environment(os.environ))
        if not answers(url):
            raise CannotStart(f"nothing answers on {url}; `make run` starts it")
        state_dir, customer = state_directory(os.environ), NewCustomer.new()
        with ApiClient(url, LocalIssuer.open(state_dir)) as caller:
            caller.verify_known(state_dir)
            caller.ask("PUT", f"/customers/{customer.tenant}", role=OPERATOR, json=customer.entry, expect=(201,))
    except (CannotStart, IssuerBroken, OSError, UnexpectedAnswer) as fault:
        print(f"customer: {fault}", file=sys.stderr)
        return 1
    print(customer.tenant, customer.domain, customer.subscription)
    return 0


if __name__ == "__main__":
    sys.exit(main())
