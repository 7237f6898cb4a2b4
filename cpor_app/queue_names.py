"""The names of the storage queues. Adapters write to these queues, and triggers listen to them."""

CUSTOMER_NOTICES = "customer-notices"
MAIL_EVENTS = "mail-events"
PARTNER_NOTICES = "partner-notices"
CLAIM_BATCHES = "claim-batches"
QUEUES = (CUSTOMER_NOTICES, MAIL_EVENTS, PARTNER_NOTICES, CLAIM_BATCHES)
POISON = tuple(f"{queue}-poison" for queue in QUEUES)
"""The queues into which the host puts a message that failed five times."""
