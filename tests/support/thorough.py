"""
Whether the tests leave nothing out (`THOROUGH=1 make test`).

Without it, they leave out runs that repeat other runs.
"""

import os

THOROUGH = os.environ.get("THOROUGH", "0") not in ("", "0")
