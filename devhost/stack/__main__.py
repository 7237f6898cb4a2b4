"""`python -m devhost.stack` runs the local stack."""

import sys

from devhost.stack.run import main

if __name__ == "__main__":
    sys.exit(main())
