"""Sends mails about a claim to its customer and its partner, and records their delivery reports."""
