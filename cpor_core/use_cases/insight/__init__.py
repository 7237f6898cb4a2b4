"""Answers questions about all claims together."""
