"""Mails about a claim, to its customer and its partner, and what becomes of them."""
