"""The change feed, and the webhooks that are called on each change."""
