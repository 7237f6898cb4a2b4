"""Compares the table `programme` with the claims, slots and histories from which the follower has derived it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cpor_app.adapters.storage.row_store import Row
from cpor_app.adapters.storage.tables import unpacked
from cpor_core.model.claim import Claim, Status
from cpor_core.model.programme import FollowedClaim, RegisterRow
from cpor_core.model.slot import Slot
from cpor_core.model.tally import Tally
from cpor_core.model.webhook import COMPETING
from cpor_core.rules.identifiers import shard_of
from cpor_core.rules.tally import moved
from cpor_core.transitions.claim_case import StoredCase
from cpor_core.transitions.register_rows import register_rows

Rows = Mapping[tuple[str, str, str], Row]


@dataclass
class Programme:
    """The contents of the table."""

    followed: dict[str, FollowedClaim] = field(default_factory=dict)
    register: list[tuple[str, RegisterRow]] = field(default_factory=list)
    in_feed: dict[str, list[str]] = field(default_factory=dict)
    """The types of a claim's changes, in their order."""
    numbers: dict[str, list[int]] = field(default_factory=dict)
    """The numbers of the changes, by shard."""
    heads: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)
    sums: dict[str, dict[str, Mapping[str, int]]] = field(default_factory=dict)
    """The sums of insight, by shard and group."""
    tallies: dict[str, list[tuple[None, Tally | None]]] = field(default_factory=dict)
    """What claims and customers add to the sums, by shard."""

    def take(self, shard: str, key: str, row: Row) -> None:
        """Add a row of the table."""
        kind, _, rest = key.partition("|")
        document = unpacked(row.values["document"]) if "document" in row.values else ""
        match kind:
            case "claim":
                self.followed[rest] = FollowedClaim.model_validate_json(document)
                self.tallies.setdefault(shard, []).append((None, self.followed[rest].tally))
            case "customer":
                self.tallies.setdefault(shard, []).append((None, Tally.model_validate_json(document)))
            case "sum" if "counts" in row.values:
                self.sums.setdefault(shard, {})[f"partner|{rest}"] = json.loads(unpacked(row.values["counts"]))
            case "a" if rest.startswith("sums|"):
                group = rest.removeprefix("sums|")
                self.sums.setdefault(shard, {})[group] = json.loads(unpacked(row.values["counts"]))
            case "row":
                self.register.append((shard, RegisterRow.model_validate_json(document)))
            case "made":
                self.listed.add(rest.rpartition("|")[2])
            case "entry":
                entry = json.loads(document)
                self.in_feed.setdefault(entry["claimId"], []).append(entry["type"])
                self.numbers.setdefault(shard, []).append(entry["sequence"])
            case _ if key == "a|head":
                self.heads[shard] = row.values


def faults_of_programme(rows: Rows) -> Iterator[str]:
    """Yield what is wrong after all due rows of the follower are done."""
    claims, seen = _claims(rows), Programme()
    for (table, shard, key), row in sorted(rows.items()):
        if table == "programme":
            seen.take(shard, key, row)
    for shard, numbers in seen.numbers.items():
        head = seen.heads[shard]
        if numbers != list(range(int(str(head["oldest"])), int(str(head["last"])) + 1)):
            yield f"feed {shard} has the changes {numbers}, and its head says {head}"
    erased = {name for name, one in seen.followed.items() if one.status is Status.DELETED}
    if not seen.followed.keys() - erased <= claims.keys() <= seen.followed.keys() == seen.listed:
        yield f"followed: {sorted(seen.followed)}; listed: {sorted(seen.listed)}; claims: {sorted(claims)}"
    for claim_id in seen.followed.keys() & claims.keys() - erased:
        yield from _faults_of_claim(rows, claims[claim_id], seen.followed[claim_id], seen.in_feed.get(claim_id, []))
    wanted = [(f"{shard_of(name):02d}", _nameless(row)) for name, one in seen.followed.items() for row in one.rows]
    found = [(shard, _nameless(row)) for shard, row in seen.register]
    if sorted(found, key=repr) != sorted(wanted, key=repr):
        yield f"the register has {found}, and the claims have {wanted}"
    for shard in seen.sums.keys() | seen.tallies.keys():
        if seen.sums.get(shard, {}) != moved(seen.tallies.get(shard, [])):
            yield f"the sums of shard {shard} are {seen.sums.get(shard)}, and its tallies {seen.tallies.get(shard)}"


def _nameless(row: RegisterRow) -> RegisterRow:
    return row.model_copy(update={"partner_name": ""})


def _faults_of_claim(rows: Rows, stored: StoredCase, followed: FollowedClaim, in_feed: list[str]) -> Iterator[str]:
    claim = stored.claim
    history = [
        f"claim.{json.loads(unpacked(row.values['document']))['act']}"
        for (table, _, key), row in sorted(rows.items())
        if table == "claims" and key.startswith(f"history|{claim.id}|")
    ]
    if [kind for kind in in_feed if kind != COMPETING] != history:
        yield f"{claim.id}: the feed has {in_feed}, and the history has {history}"
    if (followed.taken, followed.passed_on) != (len(history), len(history)):
        yield f"{claim.id} was followed up to {followed!r}, and has {len(history)} entries"
    if followed.tally is None or followed.tally.life.entries != len(history):
        yield f"{claim.id} has {len(history)} entries, and counted was {followed.tally}"
    if in_feed.count(COMPETING) != len(followed.competitors):
        yield f"{claim.id}: the feed has {in_feed}, and its competitors are {followed.competitors}"
    wanted = register_rows(
        stored,
        partner_name="",
        customer_name=followed.customer_name,
        country=followed.country,
    )
    if [_nameless(row) for row in followed.rows] != list(wanted):
        yield f"{claim.id}: the register has {followed.rows}, and the claim has {wanted}"


def _claims(rows: Rows) -> dict[str, StoredCase]:
    slots: dict[tuple[str, str, str], Slot] = {}
    for (table, tenant, key), row in rows.items():
        if table == "claims" and key.startswith("slot|"):
            slot = Slot.model_validate_json(unpacked(row.values["document"]))
            slots[tenant, slot.engagement, slot.key] = slot
    found = {}
    for (table, tenant, key), row in rows.items():
        if table == "claims" and key.startswith("claim|"):
            claim = Claim.model_validate_json(unpacked(row.values["document"]))
            of_claim = {
                item: slots.get((tenant, claim.engagement, item), Slot(engagement=claim.engagement, key=item))
                for item in claim.slot_keys
            }
            found[claim.id] = StoredCase(claim, of_claim)
    return found
