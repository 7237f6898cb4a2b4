"""Sends the queue messages that make due work happen sooner. A message holds ids only."""

import json
import logging
from collections.abc import Mapping
from datetime import timedelta

from cpor_app.adapters.storage.queues import AzureQueues
from cpor_app.adapters.tracing import trace_parent
from cpor_app.queue_names import CLAIM_BATCHES, CUSTOMER_NOTICES, DUE_PAGES, PARTNER_NOTICES
from cpor_core.errors import Fault
from cpor_core.ports.due_work import DuePage

log = logging.getLogger("cpor.hints")


class StorageQueueMessages:
    """Implements `ports.due_work.QueueMessages` over storage queues."""

    def __init__(self, queues: AzureQueues) -> None:
        """Use *queues*. This sends no request."""
        self._queues = queues

    async def customer_notice(self, claim_id: str) -> None:
        await self._send_message(CUSTOMER_NOTICES, {"claimId": claim_id})

    async def partner_notice(self, claim_id: str) -> None:
        await self._send_message(PARTNER_NOTICES, {"claimId": claim_id})

    async def webhook_delivery(self, organisation: str, *, delay: timedelta | None = None) -> None:
        await self._send_message(PARTNER_NOTICES, {"organisation": organisation}, delay)

    async def claim_batch(self, batch_id: str, page: int) -> None:
        await self._send_message(CLAIM_BATCHES, {"batchId": batch_id, "page": page})

    async def claim_export(self, export_id: str, page: int) -> None:
        await self._send_message(CLAIM_BATCHES, {"exportId": export_id, "page": page})

    async def due_page(self, page: DuePage) -> bool:
        return await self._send_message(DUE_PAGES, {"shard": page.shard, "first": page.first, "last": page.last})

    async def has_due_pages(self) -> bool:
        try:
            return await self._queues.length(DUE_PAGES) > 0
        except Fault as fault:
            log.warning("%s: the number of messages is not known: %s", DUE_PAGES, type(fault).__name__)
            return True

    async def _send_message(self, queue: str, ids: Mapping[str, str | int], delay: timedelta | None = None) -> bool:
        try:
            trace = trace_parent()
            body = ids if trace is None else {**ids, "traceparent": trace}
            await self._queues.send(queue, json.dumps(body), delay=delay)
        except Fault as fault:
            log.warning("%s: no hint was sent for %s: %s", queue, ids, type(fault).__name__)
            return False
        return True
