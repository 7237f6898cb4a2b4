"""Stand-ins for the world: each keeps the promises of the adapter whose place it takes."""
