"""Entity tags as RFC 9110 compares them."""

import re

_TAG = re.compile(r'(W/)?("[^"]*")')


def matches(if_match: str, tag: str) -> bool:
    """Whether an If-Match names *tag*, alone or in a list, or is `*`; weak tags never match (RFC 9110, 13.1.1)."""
    return if_match.strip() == "*" or any(not weak and one == tag for weak, one in _TAG.findall(if_match))
