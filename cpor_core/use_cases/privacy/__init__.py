"""People are forgotten."""
