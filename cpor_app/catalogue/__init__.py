"""The engagements as data: `engagements.toml`, which a non-programmer can review."""
