"""Evidence over HTTP: what is taken is told by its content, and it comes back as an attachment that no browser runs."""

import hashlib
import io
import unicodedata
import zipfile
from datetime import timedelta
from urllib.parse import quote, unquote

import httpx
import pytest

from cpor_core.model.history import PROGRAMME, Act
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import change_claim, find
from tests.core.builders import MONDAY
from tests.support.service import OTHER_PARTNER, PDF, PUBLIC_URL, Service
from tests.triggers.calls import shares_its_service
from tests.triggers.refusals import refused

PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\0" * 20
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + b"\0" * 20
MAIL = (
    b"From: a@contoso.fr\r\nTo: b@adatum.example\r\nSubject: Done\r\n"
    b"Date: Mon, 02 Nov 2026 09:00:00 +0000\r\n\r\nThanks.\r\n"
)


def office(folder: str, main: str) -> bytes:
    """Return the least that an Office document is."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        # Entries of 1980: the same bytes in all processes.
        archive.writestr(
            zipfile.ZipInfo("[Content_Types].xml"), f'<Types><Override PartName="/{folder}/{main}.xml"/></Types>'
        )
        archive.writestr(zipfile.ZipInfo(f"{folder}/{main}.xml"), "<x/>")
    return made.getvalue()


ANOTHER = PDF + b"% another\n"


async def keep_as_before(service: Service, claim_id: str, name: str, content: bytes) -> None:
    """Keep a file under a name that was taken once, beside those that are there."""
    ports = service.services.ports
    now = await ports.now()
    case = await find(ports, claim_id, now)
    assert case is not None
    kept = case.claim.evidence[0].model_copy(
        update={
            "file_name": name,
            "blob": f"{claim_id}-{ports.new_id()}",
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    )
    await ports.blobs.put(kept.blob, content, kept.content_type)

    def judge(current: Case) -> Case:
        return current.record(Act.EVIDENCE_ADDED, PROGRAMME, MONDAY, evidence=(*current.claim.evidence, kept))

    await change_claim(ports, case, now, judge)


async def put(service: Service, claim_id: str, name: str, content: bytes = PDF, **headers: str) -> httpx.Response:
    """Upload a file."""
    return await service.request("PUT", f"/claims/{claim_id}/evidence/{name}", content=content, headers=headers)


# --- what is taken ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [
        ("a.pdf", PDF, "application/pdf"),
        ("a.png", PNG, "image/png"),
        ("a.jpg", JPEG, "image/jpeg"),
        ("a.eml", MAIL, "message/rfc822"),
        (
            "a.docx",
            office("word", "document"),
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ),
        ("a.xlsx", office("xl", "workbook"), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (
            "a.pptx",
            office("ppt", "presentation"),
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        ),
        ("a.JPEG", JPEG, "image/jpeg"),
        ("A.EML", MAIL, "message/rfc822"),
    ],
)
@shares_its_service
async def test_content_decides_what_a_file_is(shared: Service, name: str, content: bytes, media_type: str) -> None:
    """Not the media type that it was sent with; it comes back byte by byte."""
    claim = await shared.draft()

    made = await put(shared, claim["id"], name, content, **{"Content-Type": "text/html"})
    read = await shared.request("GET", f"/claims/{claim['id']}/evidence/{name}")

    kept = next(one for one in made.json()["evidence"] if one["fileName"] == name)
    assert made.status_code == 201
    assert made.headers["Location"] == f"{PUBLIC_URL}/claims/{claim['id']}/evidence/{quote(name)}"
    assert made.headers["ETag"] == made.json()["etag"]
    assert (kept["contentType"], kept["size"]) == (media_type, len(content))
    assert kept["sha256"] == hashlib.sha256(content).hexdigest()
    assert (read.content, read.headers["Content-Type"]) == (content, media_type)


@pytest.mark.parametrize(
    "content",
    [
        b"MZ\x90\0" + b"\0" * 100,
        b"<html><script>alert(1)</script></html>",
        b"\x89PNG\r\n\x1a\n<html><script>alert(1)</script>",
        b"GIF89a" + b"\0" * 20,
        b"just words",
        b"\0",
        b"PK\x03\x04" + b"\0" * 50,
        MAIL,
    ],
)
@shares_its_service
async def test_content_that_is_none_of_the_kinds_is_refused(shared: Service, content: bytes) -> None:
    """415 under whatever name; a mail as text is one only under its name."""
    claim = await shared.draft()

    error = refused(await put(shared, claim["id"], "a.pdf", content), 415, "UnsupportedMediaType")

    assert error["target"] == "body"
    assert (await shared.request("GET", f"/claims/{claim['id']}")).json() == claim


@pytest.mark.parametrize(
    "name", ["signed-offer.pdf.bat", "a.hta", "a.html", "a.docx", "a.png", "no ending", "a.pdf%20"]
)
@shares_its_service
async def test_a_name_that_opens_something_else_is_refused(shared: Service, name: str) -> None:
    """400 that names the endings which the content may have; nothing is kept."""
    claim = await shared.draft()

    error = refused(await put(shared, claim["id"], name), 400, "ValidationFailed")

    assert error["target"] == "fileName"
    assert ".pdf" in error["message"] or name.endswith("%20")
    assert (await shared.request("GET", f"/claims/{claim['id']}")).json() == claim


@shares_its_service
async def test_content_is_judged_before_the_name(shared: Service) -> None:
    """415 goes before 400 (decision 3): a program is told what is taken, under whatever name."""
    claim = await shared.draft()

    refused(await put(shared, claim["id"], "a%5C.exe", b"MZ\x90\0" + b"\0" * 100), 415, "UnsupportedMediaType")


async def test_empty_file_is_refused(service: Service) -> None:
    """400: a length of zero was announced; without any length it is 411."""
    claim = await service.draft()

    refused(await put(service, claim["id"], "a.pdf", b"", **{"Content-Length": "0"}), 400, "ValidationFailed")


async def test_file_may_have_20_mebibytes_and_not_one_byte_more(service: Service) -> None:
    """The limit is of the file, not of JSON."""
    claim = await service.draft()
    largest = PDF + b"\n" * (20 * 2**20 - len(PDF))

    assert (await put(service, claim["id"], "largest.pdf", largest)).status_code == 201
    refused(await put(service, claim["id"], "larger.pdf", largest + b"\n"), 413, "PayloadTooLarge")


async def test_claim_takes_20_files(service: Service) -> None:
    """The 21st is refused, replacing one of the 20 is not."""
    claim = await service.draft()
    for n in range(19):
        assert (await put(service, claim["id"], f"{n}.pdf")).status_code == 201

    refused(await put(service, claim["id"], "one-more.pdf"), 409, "TooManyFiles")
    assert (await put(service, claim["id"], "3.pdf", ANOTHER)).status_code == 200


@pytest.mark.parametrize("signed_on", ["2026-11-04", "2027-01-01", "9999-12-31"])
@shares_its_service
async def test_signature_lies_not_in_the_future(shared: Service, signed_on: str) -> None:
    """Tomorrow is today somewhere, the day after is not."""
    claim = await shared.draft()

    error = refused(await put(shared, claim["id"], f"a.pdf?signedOn={signed_on}"), 400, "ValidationFailed")

    assert error["target"] == "signedOn"


@pytest.mark.parametrize(
    "signed_on", ["2026-02-30", "20261001", "yesterday", "2026-10-01T00:00:00Z", "1", "٢٠٢٦-١٠-٠١"]
)
@shares_its_service
async def test_signature_is_a_date(shared: Service, signed_on: str) -> None:
    """As YYYY-MM-DD."""
    claim = await shared.draft()

    refused(await put(shared, claim["id"], f"a.pdf?signedOn={signed_on}"), 400, "ValidationFailed")


# --- added, replaced, taken out ---------------------------------------------------------------------------------------


async def test_file_is_replaced_in_a_draft_under_its_name(service: Service) -> None:
    """200 without a Location; the new bytes and date stand in the place of the old."""
    claim = await service.draft()

    replaced = await put(service, claim["id"], "sow.pdf?signedOn=2026-10-30", ANOTHER)
    read = await service.request("GET", f"/claims/{claim['id']}/evidence/sow.pdf")

    assert replaced.status_code == 200
    assert "Location" not in replaced.headers
    assert [(one["fileName"], one["size"], one["signedOn"]) for one in replaced.json()["evidence"]] == [
        ("sow.pdf", len(ANOTHER), "2026-10-30")
    ]
    assert read.content == ANOTHER


async def test_a_file_is_one_however_its_name_is_written(service: Service) -> None:
    """Capitals, and accents written apart, name the same file: to replace it, to read it, to take it out."""
    claim = await service.draft()
    evidence = f"/claims/{claim['id']}/evidence"
    await put(service, claim["id"], quote("Prüfung.pdf"))
    apart = quote(unicodedata.normalize("NFD", "PRÜFUNG.PDF"))

    replaced = await put(service, claim["id"], apart, ANOTHER)
    read = await service.request("GET", f"{evidence}/{quote('prüfung.pdf')}")
    stale = await service.request("DELETE", f"{evidence}/{apart}", headers={"If-Match": '"another"'})
    removed = await service.request(
        "DELETE", f"{evidence}/{quote('prüfunG.pdf')}", headers={"If-Match": read.headers["ETag"]}
    )

    assert replaced.status_code == 200
    assert sorted(one["fileName"] for one in replaced.json()["evidence"]) == ["PRÜFUNG.PDF", "sow.pdf"]
    assert read.content == ANOTHER
    refused(stale, 412, "PreconditionFailed")
    assert removed.status_code == 204


async def test_evidence_of_a_submitted_claim_is_not_replaced_in_other_capitals(service: Service) -> None:
    """What was judged stays what it was."""
    claim = await service.official()

    refused(await put(service, claim["id"], "SOW.pdf", ANOTHER), 409, "EvidenceExists")


async def test_files_from_before_the_rules_are_read_and_taken_out(service: Service) -> None:
    """Under the names that they have; what is handed out starts no program."""
    claim = await service.draft()
    names = ["signed-offer.pdf.bat", "con.pdf", "a\u200b.pdf", "A.pdf", "a.pdf", unicodedata.normalize("NFD", "é.pdf")]
    for number, name in enumerate(names):
        await keep_as_before(service, claim["id"], name, PDF + bytes([number]))

    given = {}
    for number, name in enumerate(names):
        path = f"/claims/{claim['id']}/evidence/{quote(name)}"
        read = await service.request("GET", path)
        assert read.content == PDF + bytes([number]), name
        given[name] = unquote(read.headers["Content-Disposition"].partition("filename*=UTF-8''")[2])
        assert (await service.request("DELETE", path)).status_code == 204, name

    assert list(given.values()) == ["signed-offer.pdf.bat.pdf", "_con.pdf", "a_.pdf", "A.pdf", "a.pdf", "é.pdf"]
    left = (await service.request("GET", f"/claims/{claim['id']}")).json()["evidence"]
    assert [one["fileName"] for one in left] == ["sow.pdf"]


async def test_file_is_taken_out_of_a_draft(service: Service) -> None:
    """204; a second time it is not found."""
    claim = await service.draft()
    path = f"/claims/{claim['id']}/evidence/sow.pdf"

    assert (await service.request("DELETE", path)).status_code == 204
    refused(await service.request("DELETE", path), 404, "NotFound")
    refused(await service.request("GET", path), 404, "NotFound")
    assert (await service.request("GET", f"/claims/{claim['id']}")).json()["evidence"] == []


async def test_while_the_customer_decides_evidence_stays_as_it_is(service: Service) -> None:
    """Neither added nor replaced nor taken out."""
    claim = await service.submitted()
    path = f"/claims/{claim['id']}/evidence/sow.pdf"

    refused(await put(service, claim["id"], "more.pdf"), 409, "InvalidState")
    refused(await put(service, claim["id"], "sow.pdf"), 409, "InvalidState")
    refused(await service.request("DELETE", path), 409, "InvalidState")


async def test_evidence_of_an_association_is_added_and_never_replaced(service: Service) -> None:
    """What was judged stays what it was."""
    claim = await service.official()

    assert (await put(service, claim["id"], "more.pdf")).status_code == 201
    refused(await put(service, claim["id"], "sow.pdf", ANOTHER), 409, "EvidenceExists")
    refused(await service.request("DELETE", f"/claims/{claim['id']}/evidence/more.pdf"), 409, "InvalidState")
    assert (await service.request("GET", f"/claims/{claim['id']}/evidence/sow.pdf")).content == PDF


async def test_evidence_of_a_rejected_claim_is_added_until_its_30_days_are_over(service: Service) -> None:
    """A microsecond before the end it is, at the end it is not (decision 28)."""
    claim = await service.submitted(engagement="modern-work-security-usage", items=[{"workload": "teams"}])
    await service.review("POST", f"/reviews/{claim['id']}/start")
    await service.review("POST", f"/reviews/{claim['id']}/reject", json={"reason": "insufficientEvidence"})

    service.clock.advance(timedelta(days=30) - timedelta(microseconds=1))
    assert (await put(service, claim["id"], "new.pdf")).status_code == 201
    service.clock.advance(timedelta(microseconds=1))

    refused(await put(service, claim["id"], "newer.pdf"), 409, "InvalidState")


async def test_reviewer_reads_what_the_partner_sent(service: Service) -> None:
    """The same bytes under the same headers; another partner nothing."""
    claim = await service.submitted()

    partners = await service.request("GET", f"/claims/{claim['id']}/evidence/sow.pdf")
    reviewers = await service.review("GET", f"/reviews/{claim['id']}/evidence/sow.pdf")
    others = await service.request("GET", f"/claims/{claim['id']}/evidence/sow.pdf", tenant=OTHER_PARTNER)

    assert reviewers.content == partners.content == PDF
    names = ("Content-Type", "Content-Disposition", "Content-Security-Policy", "X-Content-Type-Options")
    assert [reviewers.headers[name] for name in names] == [partners.headers[name] for name in names]
    refused(others, 404, "NotFound")


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "Prüfung 2026.pdf",
        "доказательство.pdf",
        "証拠.pdf",
        "😀.pdf",
        "a;b=c,d.pdf",
        "a'b&c#d+e%.pdf",
        "a.tar.pdf",
        "-.pdf",
        "ａ.pdf",
    ],
)
@shares_its_service
async def test_names_of_every_script_come_back(shared: Service, name: str) -> None:
    """In the list, by the Location, and as a saved file's name (RFC 6266)."""
    claim = await shared.draft()

    made = await put(shared, claim["id"], quote(name, safe=""))
    read = await shared.request("GET", made.headers["Location"])

    assert name in [one["fileName"] for one in made.json()["evidence"]]
    disposition = read.headers["Content-Disposition"]
    assert disposition.startswith('attachment; filename="')
    assert unquote(disposition.partition("filename*=UTF-8''")[2]) == name
    assert disposition.isascii()


@pytest.mark.parametrize(
    "name",
    [
        "a%2Fb.pdf",
        "..%2F..%2Fetc%2Fpasswd",
        "%252Fa",
        "a%5Cb.pdf",
        "c%3A.pdf",
        "a%22b.pdf",
        "a%3Cb%3E.pdf",
        "a%0D%0AX-Evil:%201.pdf",
        "a%1Fb",
        "a%7F",
        "a%C2%85b",
        "gpj%E2%80%AE.exe",
        "a%E2%80%A8b",
        "%20",
        "...",
        "x" * 197 + ".pdf",
        "con.pdf",
        "COM1.pdf",
        "a%E2%80%8B.pdf",
        "%EF%BC%8E%EF%BC%8E%EF%BC%8Fx.pdf",
        "a.pdf%20",
        "a*.pdf",
        "a%3Fb.pdf",
    ],
)
@shares_its_service
async def test_names_that_a_file_system_or_a_reader_would_stumble_over_are_refused(shared: Service, name: str) -> None:
    """Separators, encoded ones too, control characters, turns of direction, quotes, dots alone."""
    claim = await shared.draft()

    answer = await put(shared, claim["id"], name)

    assert refused(answer, 400, "ValidationFailed")["target"] == "fileName"
    assert (await shared.request("GET", f"/claims/{claim['id']}")).json() == claim


@pytest.mark.parametrize("name", ["a/b.pdf", "", "../sow.pdf", "%00.pdf", "%2e%2e"])
@shares_its_service
async def test_names_that_make_another_address_reach_no_file(shared: Service, name: str) -> None:
    """The host has its own way with slashes, dots and NUL; nothing is kept."""
    claim = await shared.draft()

    answer = await put(shared, claim["id"], name)

    assert answer.status_code in (400, 404, 405)
    assert (await shared.request("GET", f"/claims/{claim['id']}")).json() == claim


async def test_attachment_can_do_nothing_in_our_name(service: Service) -> None:
    """Saved, not shown; if shown after all, in a sandbox without scripts; its type is not guessed again."""
    claim = await service.draft()

    headers = (await service.request("GET", f"/claims/{claim['id']}/evidence/sow.pdf")).headers

    assert headers["Content-Disposition"] == "attachment; filename=\"sow.pdf\"; filename*=UTF-8''sow.pdf"
    assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
