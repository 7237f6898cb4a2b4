"""Implements the core's ports with storage, mail, identity and other services. Each file is about one technology."""
