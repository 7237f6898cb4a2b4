"""Which licences give which workload: what people decided by name, found by id in Microsoft's reference."""

import shutil
from pathlib import Path

import pytest

from cpor_app.adapters.catalogue import load_catalogue, load_licensing, read_licensing
from tools import service_plans
from tools.service_plans import CHOICES, MADE, REFERENCE, Reference, made, main, read_choices, read_reference, undecided

PLANS = {
    "exchange": "efb87545-963c-4e0d-99df-69c6916d9eb0",
    "sharepoint": "5dbe027f-2339-4123-9542-606e4d348a72",
    "teams": "57ff2da0-773e-42df-b2af-ffb7a2317929",
    "teams-phone": "4828c8ec-dc2e-4779-b502-87ac9ce28ab7",
    "microsoft-365-apps": "43de0ff5-c92c-492b-9116-175376d08c38",
    "intune": "c1ec4a95-1f05-45b3-a911-aa3fa01094f5",
    "entra-id-p1": "41781fb2-bc02-4b7c-bd55-b576c07bb09d",
    "entra-id-p2": "eec0eb4f-6444-4f95-aba0-50c24d67f998",
    "defender-for-endpoint": "871d91ec-ec1a-452b-a83f-bd76c7d770ef",
    "defender-for-identity": "14ab5db5-e6c4-4b20-b4bc-13e36fd2227f",
    "defender-for-office-365": "f20fedf3-f3c3-43c3-8267-2bfdd51c0939",
}
"""One plan of each, from Microsoft's documentation."""
NO_MAILBOX, NO_TEAMS_PHONE, NO_INTUNE = (
    "113feb6c-3fe4-4440-bddc-54d774bf0318",
    "f47330e9-c134-43b3-9993-e7f004506889",
    "882e1d05-acd1-4ccb-8708-6ee03664b117",
)
FREE = (
    "710779e8-3d4a-4c88-adb9-386c958d1fdf",
    "f30db892-07e9-47e9-837c-80727f46fd3d",
    "a403ebcc-fae0-4ca2-8c8c-7a907fd6c235",
    "6470687e-a428-4b7a-bef2-8a291ad947c9",
    "16ddbbfc-09ea-4de2-b1d7-312db6112d70",
)
PAID = ("06ebc4ee-1bb5-47dd-8120-11324bc54e06", "6fd2c87f-b296-42f0-b197-1e91e994b900")
HEAD = "Product_Display_Name,String_Id,GUID,Service_Plan_Name,Service_Plan_Id,Service_Plans_Included_Friendly_Names\n"


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the command in a folder of the test's own."""
    for name, file in (("REFERENCE", REFERENCE), ("CHOICES", CHOICES), ("MADE", MADE)):
        shutil.copy(file, tmp_path / file.name)
        monkeypatch.setattr(service_plans, name, tmp_path / file.name)
    monkeypatch.setattr(service_plans, "ROOT", tmp_path)
    return tmp_path


def test_the_served_ids_are_those_of_the_copy_in_the_repository() -> None:
    """And nothing in it is undecided: `python -m tools.service_plans` says what is."""
    choices, reference = read_choices(CHOICES.read_text("utf-8")), read_reference(REFERENCE.read_text("utf-8-sig"))

    assert made(choices, reference) == MADE.read_text("utf-8")
    assert undecided(choices, reference) == []
    assert main(["check"]) == 0


def test_every_workload_that_can_be_claimed_is_there() -> None:
    """And no other; one without plans has no seats that Graph could tell."""
    claimable = {item.id for engagement in load_catalogue().engagements for item in engagement.workloads or ()}

    licensing = load_licensing()

    assert set(licensing.workloads) == claimable
    assert [name for name, plans in licensing.workloads.items() if not plans] == ["viva-connections"]
    with pytest.raises(ValueError, match="teams"):
        read_licensing(MADE.read_text("utf-8").replace("teams =", "tems ="), load_catalogue())


def test_well_known_ids_are_where_they_belong() -> None:
    """What Microsoft's documentation says of them, independent of how they were found."""
    licensing = load_licensing()

    for workload, plan in PLANS.items():
        assert plan in licensing.workloads[workload]
    for plan in (NO_MAILBOX, NO_TEAMS_PHONE, NO_INTUNE):
        assert licensing.workloads_of(frozenset({plan})) == frozenset()
    assert set(FREE) <= licensing.free_skus
    assert not set(PAID) & licensing.free_skus


def test_no_plan_is_of_two_workloads_but_that_of_teams() -> None:
    """Meetings and apps come with it."""
    seen: dict[str, set[str]] = {}
    for workload, plans in load_licensing().workloads.items():
        for plan in plans:
            seen.setdefault(plan, set()).add(workload)

    assert {frozenset(found) for found in seen.values() if len(found) > 1} == {
        frozenset({"teams", "teams-meetings", "teams-platform"})
    }


def test_spellings_and_blanks_do_not_matter() -> None:
    """The reference has capitals, tabs and hard spaces where there should be none."""
    sku, plan = PAID[0], PLANS["teams"]

    reference = read_reference(
        f"\ufeff{HEAD}A,SKU\u00a0,{sku.upper()}\u00a0, Teams1\t,{plan} ,x\nA,SKU,{sku},TEAMS1,{plan},y\n"
    )

    assert reference == Reference({plan: frozenset({"TEAMS1"})}, {sku: frozenset({"SKU"})})


def test_a_newer_copy_is_taken_in(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its new spelling of a known plan, and its new plan that looks like a workload: somebody has to decide on that."""
    known, new = "99999999-0000-4000-8000-000000000001", "99999999-0000-4000-8000-000000000002"
    rows = f"A,NEW_FREE,{known},TEAMS_GOV,{known},x\r\nA,E9,{new},EXCHANGE_S_SUPER,{new},x\r\n"
    newer = copied / "newer.csv"
    newer.write_bytes(REFERENCE.read_bytes() + rows.encode())

    assert main([str(newer)]) == 0

    assert (copied / REFERENCE.name).read_bytes() == newer.read_bytes()
    assert f'"{known}",  # TEAMS_GOV' in (copied / MADE.name).read_text("utf-8")
    said = capsys.readouterr()
    assert said.out == f"{MADE.name}\n"
    assert said.err.splitlines() == [
        f"plan EXCHANGE_S_SUPER ({new}): it is in no list",
        f"SKU NEW_FREE ({known}): it is in no list",
    ]
    assert main(["check"]) == 1
    assert main([]) == 0


def test_what_is_stale_or_gone_is_said(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that the copy has lost, one that is in both lists, a file that was changed by hand."""
    choices = copied / CHOICES.name
    text = choices.read_text("utf-8").replace('"TEAMS1"', '"TEAMS1", "TEAMS_GONE"')
    choices.write_text(text.replace('"TEAMSMULTIGEO" =', '"TeamsEss" = "x"\n"TEAMSMULTIGEO" ='), "utf-8")
    (copied / MADE.name).write_text("", "utf-8")

    assert main(["check"]) == 1

    assert capsys.readouterr().err.splitlines() == [
        "plan TEAMS_GONE: the copy has none of this name",
        "plan TEAMSESS (f4f2f6de-6830-442b-a433-e92249faebe2): it is in both lists",
        f"{MADE.name} does not fit data/: run python -m tools.service_plans",
    ]


@pytest.mark.parametrize(
    "text",
    ["", "no,columns\n", f"{HEAD}A,SKU,not-an-id,TEAMS1,{PLANS['teams']},x\n", f"{HEAD}A,E9,{PAID[0]},X,{PAID[0]},x\n"],
)
def test_a_copy_that_is_no_copy_changes_nothing(copied: Path, text: str) -> None:
    """Another file, or a part of it that would leave a workload without seats."""
    before = {file.name: file.read_bytes() for file in copied.iterdir()}
    bad = copied / "bad.csv"
    bad.write_text(text, "utf-8")

    assert main([str(bad)]) == 2

    bad.unlink()
    assert {file.name: file.read_bytes() for file in copied.iterdir()} == before
    assert main(["one", "two"]) == 2
    assert main([str(copied / "no-such.csv")]) == 2
