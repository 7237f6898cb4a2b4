"""Use cases for a claim from draft to end: the acts of partners, reviewers and customers, and the lists of claims."""
