"""Mails about a claim to its customer and its partner, and their delivery reports."""
