"""One technology a file; each is the only one that knows its library."""
