"""What `make demo` does: it walks a claim from draft to usage figures."""
