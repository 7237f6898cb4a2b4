"""Each line of the catalogue's file decides about claims, or helps a partner to choose an engagement."""

import tomllib
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest

from cpor_app.adapters.catalogue import made_of
from cpor_core.errors import Refused
from cpor_core.model.catalogue import Catalogue, Claimable, Engagement, ListedEngagement
from cpor_core.model.claim import Item, NewClaim
from cpor_core.use_cases.claims import drafts
from tests.core.builders import ADATUM, MONDAY, PARTNER_IDS, PERSON, RECOGNITION, SALES, TEAMS, TENANT, USAGE, contacts
from tests.core.memory_core import Core

FILE = tomllib.loads(files("cpor_app.catalogue").joinpath("engagements.toml").read_text(encoding="utf-8"))
PRESALES, OSA, OSU = "mci-bizapps-presales-advisor", "osa-sell", "osu-m365"
Tables = dict[str, Any]


def engagement(tables: Tables, engagement_id: str) -> Tables:
    """Return the table of one engagement."""
    found: Tables = next(one for one in tables["engagements"] if one["id"] == engagement_id)
    return found


def changed(engagement_id: str, **values: object) -> Callable[[Tables], None]:
    """Return an edit of these lines of an engagement. None deletes a line."""

    def edit(tables: Tables) -> None:
        lines = engagement(tables, engagement_id)
        lines |= values
        for name in [name for name, value in lines.items() if value is None]:
            del lines[name]

    return edit


def _rename_an_engagement(tables: Tables) -> None:
    engagement(tables, "osu-bizapps")["successor"] = engagement(tables, RECOGNITION)["id"] = "usage-recognition"


def _rename_a_workload(tables: Tables) -> None:
    tables["workloads"]["microsoft-teams"] = tables["workloads"].pop("teams")
    listed = engagement(tables, USAGE)["workloads"]
    listed[listed.index("teams")] = "microsoft-teams"


WITHOUT_SALES = [product for product in engagement(FILE, RECOGNITION)["products"] if product != "dynamics-365-sales"]
DECIDING: Mapping[str, Callable[[Tables], None]] = {
    "id": _rename_an_engagement,
    "item_kind": changed(PRESALES, item_kind="workload", channels=["any"], workloads=["teams"], products=None),
    "channels": changed(RECOGNITION, channels=["WebDirect"]),
    "review": changed(RECOGNITION, review="manual"),
    "retired": changed(
        OSU, retired=None, successor=None, item_kind="workload", channels=["any"], review="manual", workloads=["teams"]
    ),
    "successor": changed(OSA, successor="bizapps-revenue"),
    "workloads": _rename_a_workload,
    "products": changed(RECOGNITION, products=WITHOUT_SALES),
    "incentive_may_be_waived": changed(USAGE, incentive_may_be_waived=False),
    "extra_fields": changed(RECOGNITION, extra_fields=["isvSolution"]),
    "evidence_needed": changed(RECOGNITION, evidence_needed=False),
}
"""How the line of each field is changed, so that something else becomes of the claims below."""
HELPING = {"name", "former_names", "incentivised"}
"""By these a partner finds the right engagement: people read them, no rule does."""


async def what_becomes(tables: Tables) -> list[object]:
    """Return the refusal, or the state and the engagement, of four claims under that catalogue."""
    catalogue = made_of(tables)
    return [
        await what_becomes_of(catalogue, USAGE, TEAMS, waive=True),
        await what_becomes_of(catalogue, OSU, TEAMS),
        await what_becomes_of(catalogue, OSA, SALES),
        await what_becomes_of(catalogue, RECOGNITION, SALES),
        await what_becomes_of(catalogue, RECOGNITION, SALES, evidence=False),
    ]


async def what_becomes_of(
    catalogue: Catalogue, engagement_id: str, item: Item, *, waive: bool = False, evidence: bool = True
) -> object:
    """Create a claim and submit it."""
    core = Core()
    core.ports = replace(core.ports, catalogue=catalogue)
    await core.register()
    sent = NewClaim.model_validate(
        {
            "name": "Adoption",
            "partner_id": PARTNER_IDS[ADATUM],
            "engagement": engagement_id,
            "customer": {"tenant_id": TENANT, "domain": "contoso.fr"},
            "items": [item],
            "contacts": contacts(),
            "waive_incentive": waive or None,
        }
    )
    try:
        case = await drafts.create(core.ports, ADATUM, PERSON, sent, MONDAY, None)
        if evidence:
            await core.add_evidence(case)
        claim = (await core.submit(await core.case(case))).claim
    except Refused as refused:
        return refused.code, [(detail.code, detail.message) for detail in refused.details]
    return claim.status, claim.engagement, claim.filed_as


def test_every_field_decides_or_helps() -> None:
    """A new field must be in one of the two lists."""
    assert set(Engagement.model_fields) == set(DECIDING) | HELPING
    assert not set(DECIDING) & HELPING
    assert set(Claimable.model_fields) == {"id", "name"}


@pytest.mark.parametrize("field", DECIDING)
async def test_a_field_that_decides_changes_a_verdict(field: str) -> None:
    """The change goes through the file, the creation and the submission of a claim."""
    tables = deepcopy(FILE)
    DECIDING[field](tables)

    assert await what_becomes(tables) != await what_becomes(FILE)


@pytest.mark.parametrize("field", sorted(HELPING))
async def test_a_field_that_helps_is_answered_and_changes_no_verdict(field: str) -> None:
    """A partner who chooses by the field must be able to read it."""
    other: Mapping[str, object] = {"name": "Another name", "former_names": ["A former name"], "incentivised": True}
    tables = deepcopy(FILE)
    changed(RECOGNITION, **{field: other[field]})(tables)

    assert field in ListedEngagement.model_fields
    assert made_of(tables).engagement(RECOGNITION) != made_of(FILE).engagement(RECOGNITION)
    assert await what_becomes(tables) == await what_becomes(FILE)


def test_every_line_of_the_file_is_a_field() -> None:
    """A line that the model does not know stops the start of the service."""
    tables = deepcopy(FILE)
    changed(RECOGNITION, price=1)(tables)

    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        made_of(tables)
