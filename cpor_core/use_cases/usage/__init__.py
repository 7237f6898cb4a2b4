"""Figures come in and go out, and each read leaves its receipt."""
