"""What all claims together tell the programme."""
