"""The domain: what a claim is, what may happen to it and what it owes. Pure Python, no I/O."""
