"""What `make run` starts: storage, mail catcher and functions, sample partners and customers, a token issuer."""
