"""The proof of execution: files that belong to a claim."""

import asyncio
import re
from functools import partial
from urllib.parse import quote

import azure.functions as func
from pydantic import BaseModel

from cpor_app.triggers.call import Call, admins_only_but_in_drafts, not_found
from cpor_app.triggers.http import operation
from cpor_app.triggers.operations import PARTNER, Answer
from cpor_core.errors import Refused
from cpor_core.model.base import Day
from cpor_core.model.claim import MAX_EVIDENCE_BYTES
from cpor_core.transitions.case import Case
from cpor_core.use_cases import drafts
from cpor_core.use_cases.acts import evidence_tag
from cpor_core.views import ClaimView

blueprint = func.Blueprint()
ROUTE = "claims/{claimId}/evidence/{fileName}"
# The last ranges are line ends and turns of direction, by which a name reads otherwise than it is; %2F is the one
# character that a host leaves encoded in a path.
FILE_NAME = re.compile(r"(?:(?!%2f)[^\x00-\x1f\x7f-\x9f/\\:*?\"<>|\u2028-\u202e\u2066-\u2069]){1,200}", re.IGNORECASE)
KINDS = "pdf, docx, xlsx, pptx, msg, eml, png or jpg"
MEDIA_TYPES = (
    "application/pdf",
    "application/vnd.ms-outlook",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "image/jpeg",
    "image/png",
    "message/rfc822",
)
"""The same kinds, as they are given back."""
FILE = dict.fromkeys(MEDIA_TYPES, bytes)


class Signing(BaseModel):
    """When the customer signed what the file holds."""

    signedOn: Day | None = None  # noqa: N815 - as it stands in the query


@operation(
    blueprint,
    name="put_evidence",
    method="PUT",
    route=ROUTE,
    summary="Add a file; in a draft also replace one",
    tag="Evidence",
    roles=PARTNER,
    query=Signing,
    body=bytes,
    body_types=(),
    max_bytes=MAX_EVIDENCE_BYTES,
    answers={201: ClaimView, 200: ClaimView},
    if_match="honoured",
    etag=True,
    location=True,
    refusals=("NotFound", "InvalidState", "EvidenceExists", "TooManyFiles", "UnsupportedMediaType"),
)
async def put_evidence(call: Call) -> Answer:
    """
    The content decides what a file is, not its name or media type: pdf, docx, xlsx, pptx, msg, eml, png or jpg.

    Once the claim is submitted, evidence is for `Incentives.Admin` to add. If-Match may name the file or the claim.
    """
    case = await call.own_case(partial(admins_only_but_in_drafts, call))
    data = call.bytes()
    name = _file_name(call)
    signed_on = call.query(Signing).signedOn
    if not data:
        raise Refused("ValidationFailed", "The file is empty.", target="body", resolution=f"Send a {KINDS}.")
    content_type = await asyncio.to_thread(call.services.sniff, data, name)
    if content_type is None:
        raise Refused(
            "UnsupportedMediaType",
            "The content is none of the kinds that are taken.",
            target="body",
            resolution=f"Send a {KINDS}.",
        )
    upload = drafts.Upload(name, content_type, data, signed_on)
    after, new = await drafts.add_evidence(call.ports, case, call.actor(), await call.now(), upload, call.intent())
    answer = await call.claim(after, 201 if new else 200)
    location = call.url(f"claims/{case.claim.id}/evidence/{quote(name, safe='')}")
    return Answer(answer.status, answer.body, headers={**answer.headers, **({"Location": location} if new else {})})


@operation(
    blueprint,
    name="get_evidence",
    method="GET",
    route=ROUTE,
    summary="A file, as an attachment",
    tag="Evidence",
    roles=PARTNER,
    answers={200: FILE},
    etag=True,
    refusals=("NotFound", "ValidationFailed"),
)
async def get_evidence(call: Call) -> Answer:
    """The bytes as they were sent."""
    return await attachment(call, await call.own_case())


@operation(
    blueprint,
    name="delete_evidence",
    method="DELETE",
    route=ROUTE,
    summary="Take a file out of a draft",
    tag="Evidence",
    roles=PARTNER,
    answers={204: None},
    if_match="honoured",
    refusals=("NotFound", "InvalidState", "ValidationFailed"),
)
async def delete_evidence(call: Call) -> Answer:
    """After submission nothing is taken out. If-Match may name the file or the claim."""
    case = await call.own_case()
    await drafts.remove_evidence(call.ports, case, call.actor(), await call.now(), _file_name(call), call.intent())
    return Answer(204)


async def attachment(call: Call, case: Case) -> Answer:
    """Answer a file of a claim so that no browser shows it in our name."""
    found = drafts.find_evidence(case.claim, _file_name(call))
    data = await call.ports.blobs.get(found.blob)
    if data is None:
        raise not_found("file")
    plain = re.sub(r"[^0-9A-Za-z ._-]", "_", found.file_name)
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(found.file_name, safe='')}"
    headers = {
        "Content-Disposition": disposition,
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "ETag": evidence_tag(found),
    }
    return Answer(200, data, found.content_type, headers)


def _file_name(call: Call) -> str:
    name = call.path("fileName")
    if FILE_NAME.fullmatch(name) is None or name.strip(". ") == "":
        raise Refused(
            "ValidationFailed",
            'A file name has 1 to 200 characters, none of / \\ : * ? " < > | and no control characters.',
            target="fileName",
            resolution="Rename the file.",
        )
    return name
