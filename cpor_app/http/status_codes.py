"""The HTTP status of each error code. `docs/errors.md` is made from this table."""

from http import HTTPStatus as Is
from types import MappingProxyType

STATUSES = MappingProxyType(
    {
        "Unauthenticated": Is.UNAUTHORIZED,
        "TooManyRequests": Is.TOO_MANY_REQUESTS,
        "TooManyDryRuns": Is.TOO_MANY_REQUESTS,
        "UnsupportedApiVersionValue": Is.BAD_REQUEST,
        "QueryUnknown": Is.BAD_REQUEST,
        "RoleRequired": Is.FORBIDDEN,
        "StaleForm": Is.FORBIDDEN,
        "ArrivalUnknown": Is.FORBIDDEN,
        "NotFound": Is.NOT_FOUND,
        "LinkExpired": Is.GONE,
        "CursorExpired": Is.GONE,
        "MethodNotAllowed": Is.METHOD_NOT_ALLOWED,
        "PreconditionRequired": Is.PRECONDITION_REQUIRED,
        "PreconditionFailed": Is.PRECONDITION_FAILED,
        "LengthRequired": Is.LENGTH_REQUIRED,
        "PayloadTooLarge": Is.REQUEST_ENTITY_TOO_LARGE,
        "ExportTooLarge": Is.REQUEST_ENTITY_TOO_LARGE,
        "UnsupportedMediaType": Is.UNSUPPORTED_MEDIA_TYPE,
        "InvalidJson": Is.BAD_REQUEST,
        "InvalidCursor": Is.BAD_REQUEST,
        "ValidationFailed": Is.BAD_REQUEST,
        "Immutable": Is.BAD_REQUEST,
        "EngagementUnknown": Is.BAD_REQUEST,
        "PartnerIdNotYours": Is.BAD_REQUEST,
        "DuplicateItem": Is.BAD_REQUEST,
        "NotForThisEngagement": Is.BAD_REQUEST,
        "UrlNotAllowed": Is.BAD_REQUEST,
        "ItemNotInClaim": Is.BAD_REQUEST,
        "JustificationMissing": Is.BAD_REQUEST,
        "WrongReport": Is.BAD_REQUEST,
        "DomainNotOnTenant": Is.BAD_REQUEST,
        "TimeZoneElsewhere": Is.BAD_REQUEST,
        "ClockBackwards": Is.BAD_REQUEST,
        "IdempotencyKeyReused": Is.UNPROCESSABLE_ENTITY,
        "RequestInProgress": Is.CONFLICT,
        "InvalidState": Is.CONFLICT,
        "DeclineNotYours": Is.CONFLICT,
        "FiguresNotYet": Is.CONFLICT,
        "NotDisputable": Is.CONFLICT,
        "SlotCrowded": Is.CONFLICT,
        "SlotAwaitsCustomer": Is.CONFLICT,
        "TooManyCompetitors": Is.CONFLICT,
        "EvidenceExists": Is.CONFLICT,
        "TooManyFiles": Is.CONFLICT,
        "TooManyWebhooks": Is.CONFLICT,
        "OrganisationFixed": Is.CONFLICT,
        "WouldEndAssociations": Is.CONFLICT,
        "CustomerNotTold": Is.CONFLICT,
        "InternalError": Is.INTERNAL_SERVER_ERROR,
        "NotRecordedYet": Is.SERVICE_UNAVAILABLE,
        "ServerBusy": Is.SERVICE_UNAVAILABLE,
    }
)

DETAIL_CODES = (
    "FieldRequired",
    "FieldUnknown",
    "FieldInvalid",
    "ValidationFailed",
    "PartnerNotEnrolled",
    "PartnerIsCustomer",
    "TenantDomainMismatch",
    "ItemNotClaimable",
    "ContactMissing",
    "FieldMissing",
    "EvidenceMissing",
    "AcknowledgementMissing",
    "AcknowledgementTooOld",
    "DuplicateClaim",
    "CustomerRefused",
    "DomainUnknown",
    "DomainOfAnotherTenant",
    "ItemMisspelt",
    "EngagementUnknown",
    "TimeZoneElsewhere",
)
"""
The codes in `details` and in the errors of a batch's row.

They name a fault of a field, a failed check at submission (decision 7), a customer's domain that another tenant has, or
a slip in an entry of the registry. Some of these codes can also be the code of the whole refusal.
"""

ROW_CODES = (
    "InvalidRow",
    "NoFigures",
    "TenantMissing",
    "TenantMismatch",
    "TenantUnknown",
    "ItemUnknown",
    "WrongPeriod",
    "DuplicateRow",
    "AmbiguousSubscription",
    "PartnerUnknown",
    "SinceInvalid",
    "SinceTooLate",
    "NobodyToTell",
    "SlotHeld",
    "AlreadyImported",
)
"""The codes in `rejected`, in the answer to a feed or an import. A code says what is wrong with the line."""
