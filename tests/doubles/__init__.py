"""Doubles of the outside world. Each keeps the promises of the adapter that it replaces."""
