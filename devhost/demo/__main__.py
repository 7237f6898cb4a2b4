"""`python -m devhost.demo`."""

import sys

from devhost.demo.walk import main

if __name__ == "__main__":
    sys.exit(main())
