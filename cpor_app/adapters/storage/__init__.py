"""Stores data in the tables, queues and blobs of the data account."""
