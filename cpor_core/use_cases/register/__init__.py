"""The register of associations: imports past associations, and lists those whose customer was not notified."""
