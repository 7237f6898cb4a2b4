"""The values of the domain: frozen, validated when made, written in camelCase."""
