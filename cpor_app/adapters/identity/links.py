"""
Signs customers' links, nonces of forms, cursors of lists, and the arrival of a no. Callers send these texts back to us.

All signatures are HMAC-SHA256 by `itsdangerous`, and none is stored. Each kind of text has its own salt, so that no
kind is accepted as another kind. Several secrets can be valid at once. The first secret signs, and all secrets verify.
So an operator can change the secret, and mailed links stay valid.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from itsdangerous import Signer
from pydantic import JsonValue

from cpor_core.errors import Refused
from cpor_core.rules.grace import ARRIVAL_COUNTS_FOR

NONCE_LIFETIME = timedelta(hours=1)
NONCE_CLOCK_DIFFERENCE = timedelta(minutes=1)

_LINK, _NONCE, _CURSOR, _ARRIVAL = "cpor.link", "cpor.nonce", "cpor.cursor", "cpor.arrival"
_BEGIN = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MAX_CHARACTERS = 4096
_SIGNED = re.compile(r"([A-Za-z0-9_.-]+)\.([A-Za-z0-9_-]{43})", re.ASCII)
_LINK_VALUE = re.compile(r"([0-9a-z]{1,100})\.(0|[1-9][0-9]{0,5})", re.ASCII)
_NONCE_VALUE = re.compile(r"[0-9]{1,12}", re.ASCII)
_ARRIVAL_VALUE = re.compile(r"[0-9]{1,17}", re.ASCII)


class BadLink(Refused):
    """The link was never mailed, or it was changed after the mail. Callers see only `NotFound`."""

    def __init__(self) -> None:
        """Give the same message for each fault."""
        super().__init__(
            "NotFound",
            "This link is not valid.",
            target="t",
            resolution="Open the link from the mail again.",
        )


class BadCursor(Refused):
    """We never made this cursor, or we made it for another list or organisation."""

    def __init__(self) -> None:
        """Give the same message for each fault."""
        super().__init__(
            "InvalidCursor",
            "The cursor does not belong to this list.",
            target="cursor",
            resolution="Use nextLink or cursor of an answer unchanged, or start the list again without a cursor.",
        )


class Links:
    """Signs texts with the service's secrets, and verifies signed texts."""

    def __init__(self, secrets: tuple[str, ...], public_url: str) -> None:
        """Sign with the first of *secrets*, and accept all of them. Every address begins with *public_url*."""
        if not secrets or not all(secrets):
            raise ValueError("At least one secret is needed to sign links, and no secret must be empty.")
        self._public_url = public_url.rstrip("/")
        self._signers = {
            salt: [Signer(secret, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256) for secret in secrets]
            for salt in (_LINK, _NONCE, _CURSOR, _ARRIVAL)
        }

    def token(self, claim_id: str, recipient: int) -> str:
        """Return the token in the link that is mailed to that recipient of the claim."""
        value = f"{claim_id}.{recipient}"
        if _LINK_VALUE.fullmatch(value) is None:
            raise ValueError("A link needs a claim id and a recipient's number.")
        return self._signed(_LINK, "", value)

    def read(self, token: str) -> tuple[str, int]:
        """Return the claim id and the recipient's number of a link's token. Raises BadLink for any other text."""
        value = self._verified(_LINK, "", token)
        match = None if value is None else _LINK_VALUE.fullmatch(value)
        if match is None:
            raise BadLink
        return match[1], int(match[2])

    def request_url(self, claim_id: str, token: str) -> str:
        """Return the address of the link in a mail. Logs show its path without its query (decision 23)."""
        return f"{self._public_url}/customer/requests/{claim_id}?t={token}"

    def nonce(self, token: str, act: str, now: datetime) -> str:
        """Return a nonce for the form of *act* on the page of that link. The form must send it back within an hour."""
        return self._signed(_NONCE, f"{act}\n{token}", str(int(now.timestamp())))

    def check_nonce(self, nonce: str, token: str, act: str, now: datetime) -> bool:
        """Whether *nonce* was made for this link and act within the last hour, by the service's clock."""
        value = self._verified(_NONCE, f"{act}\n{token}", nonce)
        if value is None or _NONCE_VALUE.fullmatch(value) is None:
            return False
        age = timedelta(seconds=int(now.timestamp()) - int(value))
        return -NONCE_CLOCK_DIFFERENCE <= age < NONCE_LIFETIME

    def arrival(self, subject: str, at: datetime) -> str:
        """Return *at*, when a no arrived that was not stored, as signed text. *subject* names sender and claim."""
        return self._signed(_ARRIVAL, subject, str((at - _BEGIN) // _MICROSECOND))

    def read_arrival(self, subject: str, text: str, now: datetime) -> datetime | None:
        """Return the signed arrival of that no, if it is at most 24 hours ago. None for any other text."""
        value = self._verified(_ARRIVAL, subject, text)
        if value is None or _ARRIVAL_VALUE.fullmatch(value) is None:
            return None
        at = _BEGIN + int(value) * _MICROSECOND
        return at if -NONCE_CLOCK_DIFFERENCE <= now - at <= ARRIVAL_COUNTS_FOR else None

    def cursor(self, kind: str, payload: Mapping[str, JsonValue]) -> str:
        """
        Return *payload* as a signed cursor of the list *kind*.

        *kind* names list, organisation and filters, which must be the same for each page. A caller can read the
        payload, so it must not hold a secret.
        """
        text = json.dumps(dict(payload), separators=(",", ":"), sort_keys=True, allow_nan=False)
        signed = self._signed(_CURSOR, kind, base64.urlsafe_b64encode(text.encode()).decode().rstrip("="))
        if len(signed) > _MAX_CHARACTERS:
            raise ValueError("The cursor is too long for an address.")
        return signed

    def read_cursor(self, kind: str, text: str) -> dict[str, JsonValue]:
        """Return the payload of a cursor of the list *kind*. Raises BadCursor for any other text."""
        value = self._verified(_CURSOR, kind, text)
        if value is None:
            raise BadCursor
        payload: dict[str, JsonValue] = json.loads(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
        return payload

    def _signed(self, salt: str, context: str, value: str) -> str:
        """Return *value* with a signature over *value* and *context*. The text does not include the context."""
        return f"{value}.{_signature(self._signers[salt][0], context, value)}"

    def _verified(self, salt: str, context: str, text: str) -> str | None:
        """Return the value of a text that one of the secrets has signed, or None for any other text."""
        match = _SIGNED.fullmatch(text) if len(text) <= _MAX_CHARACTERS else None
        if match is None:
            return None
        value, signature = match.groups()
        # Sign again and compare the texts. A comparison of decoded bytes would accept several spellings of a signature.
        for signer in self._signers[salt]:
            if hmac.compare_digest(signature, _signature(signer, context, value)):
                return value
        return None


def _signature(signer: Signer, context: str, value: str) -> str:
    # The hash has a fixed length, so no character can move from the context to the value.
    bound = hashlib.sha256(context.encode("utf-8", "surrogatepass")).hexdigest()
    return signer.get_signature(f"{bound}.{value}").decode("ascii")
