"""The local stack of `make run`: storage, mail catcher, functions, token issuer, sample partners and customers."""
