"""Records spans and counters for operators."""
