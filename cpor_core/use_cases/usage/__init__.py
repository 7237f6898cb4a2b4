"""Loading and reading figures. Each read leaves a receipt."""
