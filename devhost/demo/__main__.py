"""`python -m devhost.demo` runs the demo."""

import sys

from devhost.demo.walk import main

if __name__ == "__main__":
    sys.exit(main())
