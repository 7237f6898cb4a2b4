"""A partner's own reference: set in every state, seen by its organisation only (decision 56)."""

from typing import Any

import pytest

from tests.support.service import CUSTOMER, OTHER_PARTNER, PARTNER, Service, claim_as_sent
from tests.triggers.refusals import refused, targets

REFERENCE = "CRM-4711"


async def note(service: Service, claim: dict[str, Any], reference: object = REFERENCE, **more: Any) -> Any:
    """Set the reference of a claim; returns the answer."""
    path = f"/claims/{claim['id']}"
    return await service.request("PATCH", path, json={"reference": reference}, headers={"If-Match": "*"}, **more)


async def test_a_reference_can_be_set_in_every_state(service: Service) -> None:
    """Of a draft, a claim in review, an association and a closed claim. Null removes it."""
    withdrawn = await service.submitted()
    await service.request("POST", f"/claims/{withdrawn['id']}/withdraw", json={})
    draft, under_review, official = await service.draft(), await service.under_review(), await service.official()
    await service.sweep()

    for claim in (draft, under_review, official, withdrawn):
        before = await service.reread(claim)
        answer = await note(service, claim)
        after = await service.reread(claim)

        assert answer.status_code == 200, answer.text
        assert after == answer.json() == {**before, "reference": REFERENCE, "etag": answer.headers["ETag"]}
        assert (await note(service, claim, None)).json()["reference"] is None


async def test_a_claim_can_be_created_with_a_reference(service: Service) -> None:
    """The list, the filter and the export have it; another organisation's do not."""
    plain = await service.draft()
    claim = await service.draft(reference=REFERENCE)

    async def found(reference: str, **who: str) -> list[str]:
        answer = await service.request("GET", f"/claims?reference={reference}", **who)  # type: ignore[arg-type]
        return [one["id"] for one in answer.json()["value"]]

    assert (claim["reference"], plain["reference"]) == (REFERENCE, None)
    assert await found(REFERENCE) == [claim["id"]]
    assert await found("CRM-47") == await found(REFERENCE, tenant=OTHER_PARTNER) == []
    exported = (await service.request("GET", f"/claims/export?reference={REFERENCE}")).text.splitlines()
    assert exported[0].endswith(",reference")
    assert [line.rpartition(",")[2] for line in exported[1:]] == [REFERENCE]


async def test_a_reference_goes_with_another_change_of_a_draft(service: Service) -> None:
    """One patch changes both, and the history names the edit."""
    claim = await service.draft()
    path, change = f"/claims/{claim['id']}", {"name": "Another name", "reference": REFERENCE}

    before = await service.review("GET", f"/reviews/{claim['id']}")
    answer = await service.request("PATCH", path, json=change, headers={"If-Match": claim["etag"]})
    after = await service.review("GET", f"/reviews/{claim['id']}")

    assert (answer.json()["name"], answer.json()["reference"]) == ("Another name", REFERENCE)
    history = (await service.request("GET", f"{path}/history")).json()["value"]
    assert [entry["act"] for entry in history][-1] == "edited"
    assert before.headers["ETag"] != after.headers["ETag"]


async def test_nobody_else_sees_a_reference(service: Service) -> None:
    """Neither the value, nor the field, nor that it was changed."""
    claim = await service.official()
    await service.sweep()
    path = f"/reviews/{claim['id']}"
    seen = [
        ("GET", path, {"role": "Program.Reviewer"}),
        ("GET", f"{path}/history", {"role": "Program.Reviewer"}),
        ("GET", f"{path}/comments", {"role": "Program.Operator"}),
    ]
    own = [f"/customers/{CUSTOMER}/requests", f"/customers/{CUSTOMER}/associations"]

    async def everything() -> list[str]:
        programmes = [(await service.programme(method, url, **who)).text for method, url, who in seen]
        customers = [(await service.request("GET", url, role="Customer.Admin", tenant=CUSTOMER)).text for url in own]
        return programmes + customers

    before = await everything()
    assert (await note(service, claim)).status_code == 200

    assert await everything() == before
    assert "reference" not in before[0]
    refused(await note(service, claim, tenant=OTHER_PARTNER), 404, "NotFound")


async def test_a_reference_makes_no_reviewers_act_fail(service: Service) -> None:
    """The reviewer's ETag is still right. The partner's is not: its own change must not be overwritten unseen."""
    claim = await service.under_review()
    read = await service.review("GET", f"/reviews/{claim['id']}")
    stale = (await service.reread(claim))["etag"]
    await note(service, claim)

    refused(
        await service.request(
            "PATCH", f"/claims/{claim['id']}", json={"reference": "other"}, headers={"If-Match": stale}
        ),
        412,
        "PreconditionFailed",
    )
    approved = await service.review(
        "POST", f"/reviews/{claim['id']}/approve", json={}, headers={"If-Match": read.headers["ETag"]}
    )

    assert approved.status_code == 200, approved.text
    assert "reference" not in approved.json()


@pytest.mark.parametrize("wrong", ["", "x" * 101, "two\nlines", 1, {"a": "b"}])
async def test_a_reference_is_one_line_of_100_characters(service: Service, wrong: object) -> None:
    """It is refused at creation and afterwards."""
    claim = await service.draft(reference="x" * 100)

    assert set(targets(refused(await note(service, claim, wrong), 400, "ValidationFailed"))) == {"reference"}
    sent = claim_as_sent(reference=wrong)
    assert set(targets(refused(await service.request("POST", "/claims", json=sent), 400, "ValidationFailed"))) == {
        "reference"
    }


async def test_only_an_administrator_sets_the_reference_of_a_submitted_claim(service: Service) -> None:
    """Users prepare drafts (decision 2)."""
    draft, submitted = await service.draft(), await service.submitted()

    assert (await note(service, draft, role="Incentives.User", tenant=PARTNER)).status_code == 200
    refused(await note(service, submitted, role="Incentives.User", tenant=PARTNER), 403, "RoleRequired")
