"""Who calls, whose a domain is, and what we sign ourselves."""
