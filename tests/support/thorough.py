"""Whether the tests leave nothing out: `THOROUGH=1 make test`. Without it, they leave out what other runs say too."""

import os

THOROUGH = os.environ.get("THOROUGH", "0") not in ("", "0")
