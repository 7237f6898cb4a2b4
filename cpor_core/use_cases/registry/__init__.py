"""The operator's registry: partners, customers and closed days."""
