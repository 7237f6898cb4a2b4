"""The use cases. Each subject has one file. A use case loads, judges, writes, and sends a queue message."""
