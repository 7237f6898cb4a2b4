"""Use cases of the operator for the registry: partners, customers and closed days."""
