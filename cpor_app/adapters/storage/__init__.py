"""The data account: tables, queues and blobs."""
