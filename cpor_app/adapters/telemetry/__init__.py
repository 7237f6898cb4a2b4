"""What an operator sees of the work."""
