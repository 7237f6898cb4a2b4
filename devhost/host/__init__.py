"""What the Functions host does: triggers, invocations, the admin endpoints."""
