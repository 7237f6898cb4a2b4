"""Loads and reads figures. Each read writes a receipt."""
