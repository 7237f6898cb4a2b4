"""The export: all wanted claims in a table that a spreadsheet opens and never runs."""

import csv
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import pytest

from cpor_core.errors import Refused
from cpor_core.model.claim import Claim, Status
from cpor_core.rules.spreadsheet import defused
from cpor_core.use_cases.claims import csv_export
from cpor_core.views import claim_view
from tests.core.builders import (
    ADATUM,
    FABRIKAM,
    MONDAY,
    PARTNER_IDS,
    SUBSCRIPTION,
    TEAMS,
    TENANT,
    TERMS,
    USAGE,
    official,
)
from tests.core.builders import draft as made
from tests.core.memory_core import Core

OTHER_TENANT = "bbbbbbbb-0000-4000-8000-000000000002"


async def exported(
    core: Core, *, wanted: Callable[[Claim], bool] | None = None, tenant_id: str | None = None
) -> Sequence[Mapping[str, str]]:
    """Return the rows of an export, as a spreadsheet parses them."""
    now = await core.now()
    table = await csv_export.export(core.ports, ADATUM, now, wanted=wanted, tenant_id=tenant_id)
    assert table.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(table.decode("utf-8-sig").splitlines(), strict=True))


async def test_an_export_has_every_claim_of_the_organisation(core: Core) -> None:
    """Each claim is exported as of now, the newest first. Claims of other organisations are not exported."""
    first = await core.draft()
    core.clock.advance(timedelta(hours=1))
    second = await core.submitted(items=(TEAMS,), engagement=USAGE)
    await core.draft(FABRIKAM)

    rows = await exported(core)

    assert [row["id"] for row in rows] == [second.claim.id, first.claim.id]
    assert rows[1] == {
        "id": first.claim.id,
        "name": "Contoso adoption",
        "status": "draft",
        "statusReason": "",
        "engagement": "usage-recognition-bizapps",
        "partnerId": PARTNER_IDS[ADATUM],
        "customerTenantId": TENANT,
        "customerDomain": "contoso.fr",
        "items": f"dynamics-365-sales {SUBSCRIPTION}",
        "competing": "false",
        "nextStepOwner": "partner",
        "nextStepAction": "submit",
        "nextStepDue": "2027-01-31T09:00:00Z",
        "windowEndsAt": "",
        "associatedSince": "",
        "associationEndedAt": "",
        "endReason": "",
        "createdAt": "2026-11-02T09:00:00Z",
        "submittedAt": "",
        "updatedAt": "2026-11-02T09:00:00Z",
        "customerContactName": "Anne Durand",
        "customerContactEmail": "anne.durand@contoso.fr",
        "technicalContactName": "",
        "technicalContactEmail": "",
        "partnerContactName": "Paul Petit",
        "partnerContactEmail": "paul@adatum.example",
    }
    assert (rows[0]["status"], rows[0]["items"]) == (second.claim.status, "teams")


def test_an_association_is_exported_with_its_window_and_its_begin() -> None:
    """An association that the operator imported has no contacts."""
    case = official(made())
    entered = case.changed(contacts=None)

    row = dict(zip(csv_export.COLUMNS, csv_export.cells_of(claim_view(entered, TERMS)), strict=True))

    assert row["windowEndsAt"] == row["associatedSince"] == "2026-11-09T23:00:00Z"
    assert (row["associationEndedAt"], row["customerContactName"], row["partnerContactEmail"]) == ("", "", "")


async def test_lines_end_as_spreadsheets_want_them(core: Core) -> None:
    """Lines end with CR LF. Without claims the export has only the line of the columns."""
    table = await csv_export.export(core.ports, ADATUM, MONDAY, wanted=None, tenant_id=None)

    assert table.decode("utf-8-sig") == ",".join(csv_export.COLUMNS) + "\r\n"


async def test_an_export_can_be_filtered(core: Core) -> None:
    """The tenant is in the key of a claim. The other filters read the claim."""
    draft = await core.draft()
    submitted = await core.submitted(items=(TEAMS,), engagement=USAGE)

    assert len(await exported(core, tenant_id=TENANT)) == 2
    assert await exported(core, tenant_id=OTHER_TENANT) == []
    rows = await exported(core, wanted=lambda claim: claim.status is not Status.DRAFT)
    assert [row["id"] for row in rows] == [submitted.claim.id]
    rows = await exported(core, wanted=lambda claim: claim.status is Status.DRAFT)
    assert [row["id"] for row in rows] == [draft.claim.id]


async def test_a_long_list_is_exported_to_its_end(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """This also holds when the list ends with a full page of keys."""
    monkeypatch.setattr(csv_export, "KEYS_AT_ONCE", 2)
    monkeypatch.setattr(csv_export, "LOADED_AT_ONCE", 3)
    for count in (1, 2, 3, 4):
        core.clock.advance(timedelta(hours=1))
        await core.draft()
        assert len(await exported(core)) == count


async def test_an_export_that_is_too_large_is_refused_before_claims_are_read(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Filters by key need no reads of claims. With another filter the claims are counted during the reads."""
    monkeypatch.setattr(csv_export, "MOST_ROWS", 2)
    for _ in range(3):
        await core.draft()
        core.clock.advance(timedelta(hours=1))

    for wanted in (None, lambda _: True):
        with pytest.raises(Refused, match="ExportTooLarge"):
            await exported(core, wanted=wanted)
    monkeypatch.setattr(csv_export, "MOST_LOOKED_AT", 2)
    with pytest.raises(Refused, match="ExportTooLarge"):
        await exported(core, wanted=lambda _: False)
    monkeypatch.setattr(csv_export, "MOST_LOOKED_AT", 3)
    assert len(await exported(core, wanted=lambda claim: claim.created_at > MONDAY)) == 2
    assert await exported(core, tenant_id=OTHER_TENANT) == []


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_a_cell_that_a_spreadsheet_would_run_is_defused(first: str) -> None:
    """Full-width characters count like the plain ones."""
    assert defused(f"{first}cmd|' /C calc'!A0") == f"'{first}cmd|' /C calc'!A0"


@pytest.mark.parametrize("unseen", [" ", "\u00a0", "\u3000", "\u200b", "\ufeff", " \u200d "])
def test_an_invisible_character_hides_no_formula(unseen: str) -> None:
    """A spreadsheet can drop the character before it reads the cell."""
    assert defused(f"{unseen}=1+1") == f"'{unseen}=1+1"


@pytest.mark.parametrize("text", ["", " ", "Contoso", "a=b", "4782913", "'quoted", " a"])
def test_a_cell_that_is_harmless_stays_as_it_is(text: str) -> None:
    """A reader would see an apostrophe without need."""
    assert defused(text) == text
