"""The names of the storage queues and of their connection. Adapters write to the queues, and triggers listen."""

STORAGE = "CPOR_STORAGE"
"""The name of the storage connection, in the clients and in the queue triggers."""
CUSTOMER_NOTICES = "customer-notices"
MAIL_EVENTS = "mail-events"
PARTNER_NOTICES = "partner-notices"
CLAIM_BATCHES = "claim-batches"
DUE_PAGES = "due-pages"
QUEUES = (CUSTOMER_NOTICES, MAIL_EVENTS, PARTNER_NOTICES, CLAIM_BATCHES, DUE_PAGES)
POISON = tuple(f"{queue}-poison" for queue in QUEUES)
"""The queues into which the host puts a message that failed five times."""
