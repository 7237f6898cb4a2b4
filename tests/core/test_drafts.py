"""Drafts: their form is checked at creation. They are created once under a key, edited, and given evidence."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from cpor_app.adapters.storage.row_store import Op, Put
from cpor_core.due_work import RETENTION, SOON, Kind
from cpor_core.errors import Conflict, Refused, StorageBusy
from cpor_core.model.claim import MAX_EVIDENCE_FILES, NewClaim, Reason, Status
from cpor_core.model.history import Act
from cpor_core.ports.idempotency import IdempotencyKey, IdempotencyRecord
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import NO_CONTEXT, evidence_tag, verify_match
from cpor_core.use_cases.claims import drafts, reviews
from cpor_core.use_cases.claims.drafts import Upload, merge_patch
from cpor_core.use_cases.idempotency import TAKE_OVER_AFTER, Repeated
from cpor_core.views import entity_tag
from tests.core.builders import (
    ADATUM,
    FABRIKAM,
    LITWARE,
    MICROSECOND,
    MONDAY,
    PARTNER_IDS,
    PERSON,
    RECOGNITION,
    REVENUE,
    SUBSCRIPTION,
    TEAMS,
    TENANT,
    USAGE,
)
from tests.core.memory_core import Core
from tests.doubles.transport import ProcessDied

IDEMPOTENCY_KEY = IdempotencyKey("f00d" * 16, "hash of the body", ADATUM)
PDF = Upload("sow.pdf", "application/pdf", b"%PDF-1.4", date(2026, 10, 1))


def as_sent(**changes: Any) -> NewClaim:
    """Return a claim in the form that a partner sends."""
    return NewClaim.model_validate(
        {
            "name": "Contoso adoption",
            "partnerId": PARTNER_IDS[ADATUM],
            "engagement": USAGE,
            "customer": {"tenantId": TENANT, "domain": "contoso.fr"},
            "items": [{"workload": "teams"}],
            "contacts": {
                "customer": {"name": "Anne Durand", "email": "anne.durand@contoso.fr"},
                "partner": {"name": "Paul Petit", "email": "paul@adatum.example"},
            },
            **changes,
        }
    )


async def create(
    core: Core, idempotency_key: IdempotencyKey | None = None, organisation: str = ADATUM, **changes: Any
) -> Case:
    """Create a draft."""
    idempotency_key = replace(idempotency_key, organisation=organisation) if idempotency_key is not None else None
    return await drafts.create(core.ports, organisation, PERSON, as_sent(**changes), await core.now(), idempotency_key)


# --- form -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code", "target"),
    [
        ({"engagement": "no-such-engagement"}, "EngagementUnknown", "engagement"),
        ({"items": [{"product": "dynamics-365-sales", "subscriptionId": SUBSCRIPTION}]}, "ValidationFailed", "items"),
        ({"engagement": RECOGNITION}, "ValidationFailed", "items"),
        ({"items": [{"workload": "teams"}, {"workload": "no-such-workload"}]}, "ValidationFailed", "items"),
        (
            {"items": [{"workload": "teams"}, {"workload": "exchange"}, {"workload": "teams"}]},
            "DuplicateItem",
            "items[2]",
        ),
        ({"revenue": {"customerName": "Contoso"}}, "NotForThisEngagement", "revenue"),
        ({"partnerId": "9999"}, "PartnerIdNotYours", "partnerId"),
        ({"partnerId": PARTNER_IDS[FABRIKAM]}, "PartnerIdNotYours", "partnerId"),
    ],
)
async def test_the_form_of_a_claim_is_checked_at_creation(
    core: Core, changes: dict[str, Any], code: str, target: str
) -> None:
    """All other checks come at submission. A refused claim is not stored (decision 5)."""
    core.rows.written.clear()

    with pytest.raises(Refused) as refusal:
        await create(core, **changes)

    assert (refusal.value.code, refusal.value.target) == (code, target)
    assert refusal.value.resolution is not None
    assert core.rows.written == []


async def test_every_item_of_the_wrong_kind_is_named(core: Core) -> None:
    """The answer has one detail for each item."""
    with pytest.raises(Refused) as refusal:
        await create(core, items=[{"workload": "teams"}, {"workload": "no-such"}, {"workload": "nor-this"}])

    assert [detail.target for detail in refusal.value.details] == ["items[1]", "items[2]"]


async def test_a_waiver_is_for_the_engagement_that_has_one(core: Core) -> None:
    """A usage claim can waive its incentive, and a recognition claim has none."""
    assert (await create(core, waiveIncentive=True)).claim.waive_incentive

    with pytest.raises(Refused, match="NotForThisEngagement"):
        await create(
            core,
            engagement=RECOGNITION,
            items=[{"product": "dynamics-365-sales", "subscriptionId": SUBSCRIPTION}],
            waiveIncentive=True,
        )


async def test_the_revenue_engagement_takes_its_extra_fields(core: Core) -> None:
    """A draft can have a part of them, because they are needed only at submission."""
    case = await create(
        core,
        engagement=REVENUE,
        items=[{"product": "dynamics-365-sales", "subscriptionId": SUBSCRIPTION}],
        revenue={"customerName": "Contoso"},
    )

    assert case.claim.revenue is not None


async def test_a_claim_under_an_older_name_is_filed_under_its_successor(core: Core) -> None:
    """The claim keeps the older name too (decision 5)."""
    case = await create(core, engagement="osu-m365")

    assert (case.claim.engagement, case.claim.filed_as) == (USAGE, "osu-m365")


async def test_a_new_draft_is_listed_and_lapses_in_ninety_days(core: Core) -> None:
    """The list has the partner's name from the registry."""
    case = await create(core)

    claim = case.claim
    assert (claim.status, claim.partner_name, claim.due) == (
        Status.DRAFT,
        "Adatum Conseil",
        MONDAY + timedelta(days=90),
    )
    rows = await core.ports.partner_claims.page(ADATUM, after="", limit=9)
    assert [row.claim_id for row in rows] == [claim.id]
    rows_due = [(row.due, row.kind) for row in await core.due_rows(case)]
    assert rows_due == [
        (MONDAY + SOON, Kind.FOLLOW),
        (MONDAY + SOON, Kind.REPLACE_WORDS),
        (claim.due, "writeDown"),
    ]
    assert await core.stored(case) == await core.stored(claim.id)


# --- under a key ------------------------------------------------------------------------------------------------------


async def test_a_creation_under_a_key_is_done_once(core: Core) -> None:
    """The repetition gets the same body as the first request (decision 39)."""
    first = await create(core, IDEMPOTENCY_KEY)

    with pytest.raises(Repeated) as repeated:
        await create(core, IDEMPOTENCY_KEY)

    assert repeated.value.reply.body == IDEMPOTENCY_KEY.body
    assert first.claim.id in repeated.value.reply.answer
    assert len(await core.ports.partner_claims.page(ADATUM, after="", limit=9)) == 1


async def test_another_body_under_the_same_key_is_refused(core: Core) -> None:
    """The key belongs to the first body."""
    await create(core, IDEMPOTENCY_KEY)

    with pytest.raises(Refused, match="IdempotencyKeyReused"):
        await create(core, IdempotencyKey(IDEMPOTENCY_KEY.hash, "another body", ADATUM))


async def test_another_organisation_may_use_the_same_key(core: Core) -> None:
    """The key belongs to one organisation."""
    await create(core, IDEMPOTENCY_KEY)

    assert (await create(core, IDEMPOTENCY_KEY, LITWARE, partnerId=PARTNER_IDS[LITWARE])).claim.organisation == LITWARE


async def test_while_the_first_is_running_the_second_waits(core: Core) -> None:
    """It waits for a minute. Then the second creates the same claim."""
    await die_at(core, "claims")
    with pytest.raises(ProcessDied):
        await create(core, IDEMPOTENCY_KEY)
    core.rows.before = None
    kept = await core.ports.requests.begin(ADATUM, IDEMPOTENCY_KEY.hash, IdempotencyRecord("", "", "", MONDAY))
    assert kept is not None

    core.clock.advance(TAKE_OVER_AFTER - MICROSECOND)
    with pytest.raises(Refused, match="RequestInProgress"):
        await create(core, IDEMPOTENCY_KEY)
    core.clock.advance(MICROSECOND)
    case = await create(core, IDEMPOTENCY_KEY)

    assert case.claim.id == kept.claim_id
    with pytest.raises(Repeated):
        await create(core, IDEMPOTENCY_KEY)


async def die_at(core: Core, wanted: str) -> None:
    """Let the process die at its next write to a table."""

    async def die(table: str, _: Sequence[Op]) -> None:
        if table == wanted:
            raise ProcessDied

    core.rows.before = die


async def test_two_at_once_under_one_key_make_one_claim(core: Core) -> None:
    """The other request hears that the first is running, or gets its answer."""
    outcomes = await asyncio.gather(*(create(core, IDEMPOTENCY_KEY) for _ in range(3)), return_exceptions=True)

    made = [outcome for outcome in outcomes if isinstance(outcome, Case)]
    assert len(made) == 1
    assert all(isinstance(outcome, Case | Refused | Repeated) for outcome in outcomes)


async def test_a_takeover_after_which_the_first_finishes_gets_the_first_answer(core: Core) -> None:
    """The first process was slow and had not died."""
    await die_at(core, "claims")
    with pytest.raises(ProcessDied):
        await create(core, IDEMPOTENCY_KEY)
    core.rows.before = None
    core.clock.advance(TAKE_OVER_AFTER)

    async def first_is_done() -> None:
        core.clock.advance(TAKE_OVER_AFTER)
        await create(core, IDEMPOTENCY_KEY)

    async with core.rows.once_before("claims", first_is_done):
        with pytest.raises(Repeated):
            await create(core, IDEMPOTENCY_KEY)


async def test_an_existing_claim_without_a_stored_answer_is_a_busy_store(core: Core) -> None:
    """The answer expired at that moment, and the caller can retry."""
    await die_at(core, "claims")
    with pytest.raises(ProcessDied):
        await create(core, IDEMPOTENCY_KEY)
    core.rows.before = None
    core.clock.advance(TAKE_OVER_AFTER)
    kept = await core.ports.requests.begin(ADATUM, IDEMPOTENCY_KEY.hash, IdempotencyRecord("", "", "", MONDAY))
    assert kept is not None

    async def somebody_else() -> None:
        await core.rows.write("claims", TENANT, Put(f"claim|{kept.claim_id}", {"document": "{}", "actId": "x"}))

    async with core.rows.once_before("claims", somebody_else):
        with pytest.raises(StorageBusy):
            await create(core, IDEMPOTENCY_KEY)


async def test_a_second_claim_of_the_same_random_id_is_a_busy_store(core: Core) -> None:
    """Two claims drew the same eighty random bits, and the caller can retry."""

    async def lost(table: str, _: Sequence[Op]) -> None:
        if table == "claims":
            raise Conflict("claims: EntityAlreadyExists")

    core.rows.before = lost

    with pytest.raises(StorageBusy):
        await create(core)


async def test_a_key_expires_after_48_hours(core: Core) -> None:
    """The key then makes a new claim."""
    first = await create(core, IDEMPOTENCY_KEY)
    core.clock.advance(RETENTION[Kind.DELETE_REPLY])
    await core.sweep()

    assert (await create(core, IDEMPOTENCY_KEY)).claim.id != first.claim.id


# --- editing ----------------------------------------------------------------------------------------------------------


async def edit(core: Core, case: Case, **patch: Any) -> Case:
    """Edit a claim with a merge patch."""
    return await drafts.edit(core.ports, await core.case(case), PERSON, await core.now(), patch, NO_CONTEXT)


async def test_every_field_of_a_draft_but_tenant_and_engagement_can_be_edited(core: Core) -> None:
    """Null removes an optional field."""
    case = await create(core, comment="Please")

    after = await edit(
        core,
        case,
        name="Renamed",
        items=[{"workload": "exchange"}],
        comment=None,
        customer={"domain": "contoso.com"},
        contacts={"customer": {"title": "DSI"}},
        waiveIncentive=True,
    )

    claim = after.claim
    assert (claim.name, claim.comment, claim.domain, claim.waive_incentive) == ("Renamed", None, "contoso.com", True)
    assert [item.key for item in claim.items] == ["exchange"]
    assert claim.contacts is not None
    assert (claim.contacts.customer.name, claim.contacts.customer.title) == ("Anne Durand", "DSI")
    assert [entry.act for entry in await core.history(case)] == [Act.CREATED, Act.EDITED]


@pytest.mark.parametrize(
    ("patch", "target"),
    [
        ({"customer": {"tenantId": ADATUM}}, "customer.tenantId"),
        ({"engagement": "mci-bizapps-presales-advisor"}, "engagement"),
    ],
)
async def test_tenant_and_engagement_are_fixed_from_creation(core: Core, patch: dict[str, Any], target: str) -> None:
    """A partner who needs another tenant or engagement creates a new claim."""
    case = await create(core)

    with pytest.raises(Refused) as refusal:
        await edit(core, case, **patch)

    assert (refusal.value.code, refusal.value.target) == ("Immutable", target)


async def test_the_engagement_can_be_sent_unchanged(core: Core) -> None:
    """The patch can have the current name or the older name of the claim."""
    case = await create(core, engagement="osu-m365")

    assert (await edit(core, case, engagement="osu-m365")).claim.filed_as == "osu-m365"
    assert (await edit(core, case, engagement=USAGE, name="Again")).claim.name == "Again"


@pytest.mark.parametrize(
    "patch", [{"name": None}, {"contacts": None}, {"unknown": 1}, {"items": []}, {"customer": {"domain": 7}}]
)
async def test_a_patch_with_a_wrong_result_is_refused(core: Core, patch: dict[str, Any]) -> None:
    """The refusal is the same as for a whole claim with these fields."""
    case = await create(core)

    with pytest.raises(ValidationError):
        await edit(core, case, **patch)


async def test_the_same_patch_again_changes_nothing(core: Core) -> None:
    """A caller who lost the first answer can send the patch again."""
    case = await create(core)
    once = await edit(core, case, name="Renamed")

    assert (await edit(core, case, name="Renamed")).claim == once.claim


async def test_a_submitted_claim_is_not_edited(core: Core) -> None:
    """This holds for a caller who read the claim as a draft too."""
    case = await core.draft(items=(TEAMS,), engagement=USAGE)

    async def submit() -> None:
        await core.submit(case)

    async with core.rows.once_before("claims", submit):
        with pytest.raises(Refused, match="submitted cannot be edited"):
            await edit(core, case, name="Renamed")

    with pytest.raises(Refused, match="submitted cannot be edited"):
        await edit(core, case, name="Renamed")


async def asked(core: Core) -> Case:
    """Return a claim whose partner a reviewer has asked for more."""
    case = await core.submitted(items=(TEAMS,), engagement=USAGE)
    now = await core.now()
    case = await reviews.start(core.ports, case, now, NO_CONTEXT)
    return await reviews.request_information(core.ports, case, now, [Reason.EVIDENCE_MISSING], NO_CONTEXT)


async def test_contacts_and_items_can_be_edited_while_a_reviewer_asks_for_more(core: Core) -> None:
    """Removed items keep their slots until the answer. The partner's other fields are fixed."""
    case = await asked(core)

    after = await edit(core, case, items=[{"workload": "exchange"}])

    assert [item.key for item in after.claim.items] == ["exchange"]
    assert [item.key for item in after.claim.left_items] == ["teams"]
    assert not after.claim.only_contacts_changed
    assert set(after.slots) == {"exchange", "teams"}


async def test_an_answer_that_changes_only_contacts_is_marked(core: Core) -> None:
    """Such an answer needs no second review after a bounce (decision 27)."""
    case = await asked(core)

    after = await edit(core, case, contacts={"customer": {"email": "bruno@contoso.fr"}})

    assert after.claim.only_contacts_changed


@pytest.mark.parametrize(
    ("patch", "target"), [({"name": "Renamed"}, "name"), ({"customer": {"domain": "contoso.com"}}, "customer.domain")]
)
async def test_other_fields_are_fixed_while_more_is_asked(core: Core, patch: dict[str, Any], target: str) -> None:
    """The refusal names the field as the caller wrote it."""
    case = await asked(core)

    with pytest.raises(Refused) as refusal:
        await edit(core, case, **patch)

    assert (refusal.value.code, refusal.value.target) == ("Immutable", target)


async def test_an_imported_association_cannot_be_edited(core: Core) -> None:
    """It has no contacts."""
    case = await create(core)

    imported = case.changed(contacts=None)

    with pytest.raises(Refused, match="InvalidState"):
        await drafts.edit(core.ports, imported, PERSON, MONDAY, {"name": "Renamed"}, NO_CONTEXT)


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_gives_the_results_of_its_standard(target: object, patch: object, merged: object) -> None:
    """These are the examples of RFC 7396, appendix A."""
    assert merge_patch(target, patch) == merged


# --- evidence ---------------------------------------------------------------------------------------------------------


async def upload(core: Core, case: Case, file: Upload = PDF) -> tuple[Case, bool]:
    """Upload evidence."""
    return await drafts.add_evidence(core.ports, await core.case(case), PERSON, await core.now(), file, NO_CONTEXT)


async def test_evidence_is_stored_with_its_digest_and_date(core: Core) -> None:
    """The blob has a name that cannot be guessed."""
    case = await create(core)

    after, new = await upload(core, case)

    kept = after.claim.evidence[0]
    assert new
    assert (kept.file_name, kept.size, kept.signed_on, kept.added_at) == ("sow.pdf", 8, date(2026, 10, 1), MONDAY)
    assert await core.blobs.get(kept.blob) == b"%PDF-1.4"
    assert kept.blob.startswith(case.claim.id)
    assert drafts.find_evidence(after.claim, "sow.pdf") == kept
    with pytest.raises(Refused, match="NotFound"):
        drafts.find_evidence(after.claim, "plan.pdf")


async def test_a_file_of_a_draft_can_be_replaced(core: Core) -> None:
    """The new file has the same name."""
    case, _ = await upload(core, await create(core))

    after, new = await upload(core, case, Upload("sow.pdf", "application/pdf", b"%PDF-1.5", None))

    assert not new
    assert [kept.size for kept in after.claim.evidence] == [8]
    assert after.claim.evidence[0].signed_on is None


async def test_the_same_file_again_changes_nothing(core: Core) -> None:
    """A partner who lost the answer to the first upload can send it again, in each state that accepts files."""
    case, _ = await upload(core, await create(core))
    blobs = dict(core.blobs.blobs)

    after, new = await upload(core, case)

    assert not new
    assert (after.claim, core.blobs.blobs) == (case.claim, blobs)


async def test_a_submitted_claim_only_gets_more_files(core: Core) -> None:
    """A rejected claim gets files for a dispute. No file is replaced (decisions 10, 28)."""
    case = await core.submitted(items=(TEAMS,), engagement=USAGE)
    now = await core.now()
    case = await reviews.start(core.ports, case, now, NO_CONTEXT)
    case = await reviews.reject(core.ports, case, now, Reason.INSUFFICIENT_EVIDENCE, NO_CONTEXT)

    with pytest.raises(Refused, match="EvidenceExists"):
        await upload(core, case, Upload("sow.pdf", "application/pdf", b"%PDF-1.6", None))
    after, new = await upload(core, case, Upload("more.pdf", "application/pdf", b"%PDF-1.6", None))

    assert new
    assert len(after.claim.evidence) == 2


async def test_a_rejection_that_cannot_be_disputed_takes_no_evidence(core: Core) -> None:
    """The files would have no use."""
    case = await core.submitted()
    case = await reviews.revoke(core.ports, case, await core.now(), NO_CONTEXT)
    assert case.claim.status is Status.REJECTED

    with pytest.raises(Refused, match="rejected cannot be given more evidence"):
        await upload(core, case, Upload("more.pdf", "application/pdf", b"%PDF-1.6", None))


async def test_a_claim_that_waits_for_others_takes_no_evidence(core: Core) -> None:
    """This holds during a review and while the claim awaits its customer."""
    for case in (await core.submitted(items=(TEAMS,), engagement=USAGE), await core.submitted()):
        with pytest.raises(Refused, match="cannot be given more evidence"):
            await upload(core, case)


async def test_a_claim_takes_twenty_files(core: Core) -> None:
    """The twenty-first file is refused. A file that replaces another is not."""
    case = await create(core)
    for n in range(MAX_EVIDENCE_FILES):
        await upload(core, case, Upload(f"{n}.pdf", "application/pdf", b"%PDF", None))

    with pytest.raises(Refused, match="TooManyFiles"):
        await upload(core, case)
    assert not (await upload(core, case, Upload("7.pdf", "application/pdf", b"%PDF-", None)))[1]


@pytest.mark.parametrize(("days", "taken"), [(0, True), (1, True), (2, False)])
async def test_a_signature_does_not_lie_in_the_future(core: Core, days: int, taken: bool) -> None:  # noqa: FBT001 - a column of the table
    """Tomorrow's date is accepted, because it is tomorrow already in zones ahead of UTC."""
    case = await create(core)
    file = Upload("sow.pdf", "application/pdf", b"%PDF", MONDAY.date() + timedelta(days=days))

    if taken:
        await upload(core, case, file)
    else:
        with pytest.raises(Refused, match="ValidationFailed"):
            await upload(core, case, file)


async def test_a_file_can_be_deleted_from_a_draft(core: Core) -> None:
    """The blob is deleted later."""
    case, _ = await upload(core, await create(core), Upload("plan.pdf", "application/pdf", b"%PDF", None))
    case, _ = await upload(core, case)

    after = await drafts.remove_evidence(core.ports, case, PERSON, MONDAY, "sow.pdf", NO_CONTEXT)
    core.clock.advance(timedelta(hours=1))
    await core.sweep()

    assert [kept.file_name for kept in after.claim.evidence] == ["plan.pdf"]
    assert list(core.blobs.blobs) == [after.claim.evidence[0].blob]


async def test_a_file_that_does_not_exist_cannot_be_deleted(core: Core) -> None:
    """The answer is 404."""
    with pytest.raises(Refused, match="NotFound"):
        await drafts.remove_evidence(core.ports, await create(core), PERSON, MONDAY, "none.pdf", NO_CONTEXT)


async def test_a_file_of_a_submitted_claim_cannot_be_deleted(core: Core) -> None:
    """This also holds when the submission comes between our read and our write."""
    draft = await core.draft(items=(TEAMS,), engagement=USAGE)

    async def submit() -> None:
        await core.submit(draft)

    async with core.rows.once_before("claims", submit):
        with pytest.raises(Refused, match="submitted cannot be stripped"):
            await drafts.remove_evidence(core.ports, draft, PERSON, MONDAY, "sow.pdf", NO_CONTEXT)

    with pytest.raises(Refused, match="submitted cannot be stripped"):
        await drafts.remove_evidence(core.ports, await core.case(draft), PERSON, MONDAY, "sow.pdf", NO_CONTEXT)
    core.clock.advance(timedelta(hours=1))
    await core.sweep()
    assert len(core.blobs.blobs) == 1


async def test_if_match_can_name_the_file_of_an_act(core: Core) -> None:
    """The tag is the hash of the file's content. The tag of another file does not match."""
    case = await core.draft()
    file = case.claim.evidence[0]

    verify_match(case, f'"old", {evidence_tag(file)}', file.file_name, tag=entity_tag)

    for given, name in ((evidence_tag(file), "other.pdf"), (f"W/{evidence_tag(file)}", file.file_name)):
        with pytest.raises(Refused, match="PreconditionFailed"):
            verify_match(case, given, name, tag=entity_tag)


async def test_patches_at_the_same_time_are_all_applied(core: Core) -> None:
    """The second patch is judged again on the result of the first, with the location of its partner."""
    case = await core.draft()

    async def somebody_else() -> None:
        await drafts.edit(core.ports, case, PERSON, MONDAY, {"name": "Renamed"}, NO_CONTEXT)

    async with core.rows.once_before("claims", somebody_else):
        after = await drafts.edit(core.ports, case, PERSON, MONDAY, {"comment": "A word."}, NO_CONTEXT)

    assert (after.claim.name, after.claim.comment) == ("Renamed", "A word.")
