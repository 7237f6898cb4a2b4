"""Makes ids and keys. The caller passes the random parts, so that this module stays pure."""

import hashlib
import uuid
from datetime import UTC, datetime

from cpor_core.due_work import SHARDS

RANDOM_HEX = 20
"""The number of random characters in a claim id. They have 80 bits, so nobody can guess them."""
CLAIM_ID_LENGTH = 32 + RANDOM_HEX
BATCH_ID_LENGTH = 32
ERASURE_ID_LENGTH = 32
EXPORT_ID_LENGTH = BATCH_ID_LENGTH + 16
_MAIL_NAMESPACE = uuid.UUID("5d0f3a52-9f0e-5a53-9c39-6a7f8f6d2f11")
_LAST_MICROSECOND = 9_999_999_999_999_999


def new_claim_id(tenant_id: str, random_hex: str) -> str:
    """Return a claim id: 32 hexadecimal digits of the tenant, which is the partition, and then 20 random digits."""
    return uuid.UUID(tenant_id).hex + random_hex[:RANDOM_HEX]


def derived_claim_id(tenant_id: str, organisation: str, key: str) -> str:
    """Return the claim id for an organisation and an idempotency key. A repeated request gets the same id."""
    return new_claim_id(tenant_id, hashlib.sha256(f"{organisation}|{key}".encode()).hexdigest())


def is_claim_id(text: str) -> bool:
    """Whether *text* has the form of a claim id."""
    return len(text) == CLAIM_ID_LENGTH and all(character in "0123456789abcdef" for character in text)


def batch_id(organisation: str, named_by: str) -> str:
    """Return the batch id for an organisation and *named_by*, which is an idempotency key or the hash of the body."""
    return hashlib.sha256(f"{organisation}|{named_by}".encode()).hexdigest()[:BATCH_ID_LENGTH]


def is_batch_id(text: str) -> bool:
    """Whether *text* has the form of a batch's id."""
    return len(text) == BATCH_ID_LENGTH and all(character in "0123456789abcdef" for character in text)


def export_group(organisation: str, filters: str) -> str:
    """Return the part of an export's id that all exports of an organisation with the same filters share."""
    return batch_id(organisation, f"export|{filters}")


def export_id(organisation: str, filters: str, at: datetime) -> str:
    """Return the id of an export. Among exports with the same filters, the newest has the lowest id."""
    return export_group(organisation, filters) + newest_first(at)


def is_export_id(text: str) -> bool:
    """Whether *text* has the form of an export's id."""
    return len(text) == EXPORT_ID_LENGTH and all(character in "0123456789abcdef" for character in text)


def new_erasure_id(at: datetime, random_hex: str) -> str:
    """
    Return the id of an erasure. The newest has the lowest id.

    The ids of release 1 are random. Nearly all of them are higher, because the new ids begin with two zeros.
    """
    return f"00{newest_first(at)}{random_hex}"[:ERASURE_ID_LENGTH]


def is_erasure_id(text: str) -> bool:
    """Whether *text* has the form of an erasure's id."""
    return len(text) == ERASURE_ID_LENGTH and all(character in "0123456789abcdef" for character in text)


def tenant_of(claim_id: str) -> str:
    """Return the tenant in a claim id, as a GUID."""
    return str(uuid.UUID(claim_id[:32]))


def shard_of(subject: str) -> int:
    """Return the number of the shard that has the due rows of a subject. A claim is followed in the same shard."""
    return int(hashlib.sha256(subject.encode()).hexdigest()[:8], 16) % SHARDS


def newest_first(at: datetime) -> str:
    """Return the key of an instant. Sorted keys give the newest instant first."""
    return f"{_LAST_MICROSECOND - int(at.astimezone(UTC).timestamp() * 1_000_000):016d}"


def list_position(created_at: datetime, claim_id: str) -> str:
    """Return the key of a claim in its organisation's list."""
    return f"{newest_first(created_at)}|{claim_id}"


def message_id(claim_id: str, kind: str, number: int, recipient: int) -> str:
    """Return the local part of a mail's Message-ID. A retry has the same Message-ID, so that a duplicate is found."""
    return str(uuid.uuid5(_MAIL_NAMESPACE, f"{claim_id}|{kind}|{number}|{recipient}"))
