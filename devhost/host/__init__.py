"""The parts of the local Functions host: triggers, invocations and the admin endpoints."""
