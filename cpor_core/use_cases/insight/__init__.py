"""Counts of all claims, for the programme."""
