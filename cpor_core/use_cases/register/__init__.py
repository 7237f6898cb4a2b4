"""The register of associations: associations of the past, and those whose customer was not notified."""
