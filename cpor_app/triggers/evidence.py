"""The partner's calls about evidence, the files that prove a claim."""

import asyncio
import re
from functools import partial
from urllib.parse import quote

from cpor_app.http.request import Call, not_found, require_admin_unless_draft
from cpor_app.http.route_table import PARTNER, Answer
from cpor_app.http.server import operation
from cpor_core.errors import Refused
from cpor_core.model.base import Day, LateModel
from cpor_core.model.claim import MAX_EVIDENCE_BYTES
from cpor_core.rules import file_names
from cpor_core.rules.file_names import ENDINGS
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import evidence_tag
from cpor_core.use_cases.claims import drafts
from cpor_core.views import OwnClaimView

KINDS = "pdf, docx, xlsx, pptx, msg, eml, png or jpg"
FILE = dict.fromkeys(sorted(ENDINGS), bytes)
"""The media types of the files that are served."""


class Signing(LateModel):
    """The day on which the customer signed the document in the file."""

    signedOn: Day | None = None  # noqa: N815 - the name in the query


@operation(
    summary="Add a file, or replace a file of a draft",
    tag="Evidence",
    roles=PARTNER,
    query=Signing,
    body=bytes,
    body_types=(),
    max_bytes=MAX_EVIDENCE_BYTES,
    answers={201: OwnClaimView, 200: OwnClaimView},
    if_match="honoured",
    etag=True,
    location=True,
    refusals=("NotFound", "InvalidState", "EvidenceExists", "TooManyFiles", "UnsupportedMediaType"),
)
async def put_evidence(call: Call) -> Answer:
    """
    The content decides the kind of a file: pdf, docx, xlsx, pptx, msg, eml, png or jpg. The media type does not count.
    The ending of the name must fit the kind. Names that differ only in case, or in how accents are encoded, mean the
    same file.

    After submission only `Incentives.Admin` can add evidence. If-Match can name the file or the claim.
    """
    case = await call.own_case(partial(require_admin_unless_draft, call))
    data = call.bytes()
    sent_name = call.path("fileName")
    content_type = await asyncio.to_thread(call.services.sniff, data, sent_name)
    if content_type is None and data:
        raise Refused(
            "UnsupportedMediaType",
            "The content is not of a kind that is accepted.",
            target="body",
            resolution=f"Send a {KINDS}; an Office file without macros and without a password, under its own ending.",
        )
    signed_on = call.query(Signing).signedOn
    if content_type is None:
        raise Refused("ValidationFailed", "The file is empty.", target="body", resolution=f"Send a {KINDS}.")
    name = file_names.verified(sent_name, content_type)
    upload = drafts.Upload(name, content_type, data, signed_on)
    after, new = await drafts.add_evidence(call.ports, case, call.actor(), await call.now(), upload, call.act_context())
    answer = await call.claim(after, 201 if new else 200)
    location = call.url(f"claims/{case.claim.id}/evidence/{quote(name, safe='')}")
    return Answer(answer.status, answer.body, headers={**answer.headers, **({"Location": location} if new else {})})


@operation(
    summary="A file, as an attachment",
    tag="Evidence",
    roles=PARTNER,
    answers={200: FILE},
    etag=True,
    refusals=("NotFound",),
)
async def get_evidence(call: Call) -> Answer:
    """The bytes are the same as in the upload."""
    return await attachment(call, await call.own_case())


@operation(
    summary="Remove a file from a draft",
    tag="Evidence",
    roles=PARTNER,
    answers={204: None},
    if_match="honoured",
    refusals=("NotFound", "InvalidState"),
)
async def delete_evidence(call: Call) -> Answer:
    """After submission no file can be removed. If-Match can name the file or the claim."""
    case = await call.own_case()
    name = call.path("fileName")
    await drafts.remove_evidence(call.ports, case, call.actor(), await call.now(), name, call.act_context())
    return Answer(204)


async def attachment(call: Call, case: Case) -> Answer:
    """Answer a file as a download under a harmless name. So no browser shows the file as a page of this service."""
    found = drafts.find_evidence(case.claim, call.path("fileName"))
    data = await call.ports.blobs.get(found.blob)
    if data is None:
        raise not_found("file")
    name = file_names.safe(found.file_name, found.content_type)
    plain = re.sub(r"[^0-9A-Za-z ._-]", "_", name)
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    headers = {
        "Content-Disposition": disposition,
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "ETag": evidence_tag(found),
    }
    return Answer(200, data, found.content_type, headers)
