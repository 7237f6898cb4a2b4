"""The register of associations: those that were made in the past, and whose customers do not know of them."""
