"""Compares entity tags as RFC 9110 says."""

import re

_TAG = re.compile(r'(W/)?("[^"]*")')


def matches(if_match: str, tag: str) -> bool:
    """Whether an If-Match contains *tag* or is `*`. Weak tags never match (RFC 9110, 13.1.1)."""
    return if_match.strip() == "*" or any(not weak and listed == tag for weak, listed in _TAG.findall(if_match))
