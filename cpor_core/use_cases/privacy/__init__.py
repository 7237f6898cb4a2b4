"""Erases personal data."""
