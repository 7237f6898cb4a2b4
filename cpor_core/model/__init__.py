"""The values of the domain. They are frozen, validated when they are made, and camelCase in JSON."""
