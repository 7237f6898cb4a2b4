"""Identifies callers, finds the tenant of a domain, and signs links, nonces and cursors."""
