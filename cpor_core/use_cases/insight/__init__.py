"""Counts all claims, for the programme."""
