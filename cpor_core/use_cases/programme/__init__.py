"""What the programme sees of all claims."""
