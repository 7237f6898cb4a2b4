"""Personal data is erased."""
