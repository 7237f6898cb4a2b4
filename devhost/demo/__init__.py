"""What `make demo` does: a claim is walked from draft to usage figures."""
