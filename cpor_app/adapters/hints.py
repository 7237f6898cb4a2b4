"""Queue messages that hurry what is already true: ids only, in base64 as the host expects them."""

import json
import logging

from cpor_app.adapters.queues import AzureQueues
from cpor_core.errors import Fault

CUSTOMER_NOTICES = "customer-notices"
MAIL_EVENTS = "mail-events"
QUEUES = (CUSTOMER_NOTICES, MAIL_EVENTS)
POISON = tuple(f"{queue}-poison" for queue in QUEUES)
log = logging.getLogger("cpor.hints")


class QueueHints:
    """`cpor_core.ports.Hints` over storage queues."""

    def __init__(self, queues: AzureQueues) -> None:
        """Keep *queues*; nothing is sent."""
        self._queues = queues

    async def customer_notice(self, claim_id: str) -> None:
        """Ask that what this claim owes be paid soon; a message that is lost is made good by the due row."""
        try:
            await self._queues.send(CUSTOMER_NOTICES, json.dumps({"claimId": claim_id}))
        except Fault as fault:
            log.warning("claim %s: no hint was sent: %s", claim_id, type(fault).__name__)
