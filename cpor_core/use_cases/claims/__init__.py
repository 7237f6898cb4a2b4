"""A claim from draft to end: what partners, reviewers and customers do with it, and how it is listed."""
