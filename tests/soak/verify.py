"""
What must be true of the tables, whatever was killed when; each statement is a function, its docstring the statement.

A statement yields one line for each place where it is violated. Nothing here imports the product.
"""

import hashlib
import json
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from tests.soak.calendars import window_ends
from tests.soak.seen import POISON, Document, Place, Seen

Statement = Callable[[Seen], Iterator[str]]
Row = tuple[str, str, str, str | None, str | None]
"""A row of the register: association, item, beginning, end, and the instant from which time can change it."""

UNDECIDED = {"submitted", "underReview", "partnerActionRequired", "disputed"}
LATE = timedelta(minutes=5)
"""A due row may be so old before it is overdue: the timer needs a moment."""
MOST_SECONDS_OF_A_READ = 120
MOST_COPIES = 4
COPIES_A_KILL = 2
_MAIL_NAMESPACE = uuid.UUID("5d0f3a52-9f0e-5a53-9c39-6a7f8f6d2f11")
_UNREACHABLE = {"customerUnreachable", "recipientFailed", "personalDataErased"}
_CUSTOMERS_MAILS = ("notice", "declineConfirmation", "officialConfirmation", "closing", "imported")
_FOR_PEOPLE = {"claims", "registry", "settings", "requests", "batches"}
"""Tables in which a person may be named (docs/storage.md); of `claims`, claims, words and answers only."""
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")
_SECRET = re.compile(r"[?&\"']t[=\"']\S{8}|Bearer |eyJ[\w-]{10}|whsec_")


# --- histories and claims ---------------------------------------------------------------------------------------------


def histories_are_whole(seen: Seen) -> Iterator[str]:
    """Every history is a chain without gaps, and every entry has the hash of what it says."""
    for claim_id, entries in seen.histories.items():
        before, status = None, None
        for number, entry in enumerate(entries, start=1):
            if (entry["sequence"], entry["previousHash"], entry["from"]) != (number, before, status):
                yield f"{claim_id}: entry {number} does not follow the one before"
                break
            if entry["hash"] != digest(entry):
                yield f"{claim_id}: entry {number} does not have its own hash"
            before, status = entry["hash"], entry["to"]


def digest(entry: Document) -> str:
    """Return the SHA-256 over RFC 8785 JSON: of strings, whole numbers, null and ASCII names, sorted and compact."""
    hashed = {name: value for name, value in entry.items() if name != "hash"}
    text = json.dumps(hashed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def claims_stand_where_their_histories_end(seen: Seen) -> Iterator[str]:
    """Every claim has the state, the length and the newest hash of its history, and no history is left alone."""
    for row in seen.rows("claims", "claim|"):
        claim = row["document"]
        last = seen.histories[claim["id"]][-1] if claim["id"] in seen.histories else None
        if last is None:
            yield f"{claim['id']}: it has no history"
        elif (claim["status"], claim["historyLength"], claim["historyHash"]) != (
            last["to"],
            last["sequence"],
            last["hash"],
        ):
            yield f"{claim['id']}: it is {claim['status']}, its history ends with {last['act']} → {last['to']}"
        if (row["status"], row["version"]) != (claim["status"], claim["version"]):
            yield f"{claim['id']}: its row says {row['status']}, its document {claim['status']}"
    for claim_id in seen.histories.keys() - seen.claims.keys():
        yield f"{claim_id}: there is a history without a claim"


def claims_are_listed(seen: Seen) -> Iterator[str]:
    """Every claim is in the list of its organisation, and every one that a reviewer must decide in theirs."""
    listed = {(row["PartitionKey"], row.get("claimId")) for row in seen.rows("partnerclaims")}
    to_review = {row["claimId"] for row in seen.rows("reviews")}
    for claim_id, claim in seen.claims.items():
        if (claim["organisation"], claim_id) not in listed:
            yield f"{claim_id}: it is not in the list of {claim['organisation']}"
        if claim["status"] in UNDECIDED - {"partnerActionRequired"} and claim_id not in to_review:
            yield f"{claim_id}: it is {claim['status']} and in no reviewer's list"


def words_lead_to_claims(seen: Seen) -> Iterator[str]:
    """A search finds every claim by the words of its name and domain, and no words of a claim that is gone are left."""
    named, found = set(), dict[str, set[str]]()
    for row in seen.rows("partnerclaims", "words|"):
        claim_id, words = row["RowKey"].split("|")[1], row["words"].split()
        found.setdefault(claim_id, set()).update(words)
        named |= {(row["PartitionKey"], f"word|{word.encode().hex()}|{row['key']}") for word in words}
    leading = {(row["PartitionKey"], row["RowKey"]) for row in seen.rows("partnerclaims", "word|")}
    for partition, key in sorted(named ^ leading):
        yield f"{partition}: {key} {'is missing' if (partition, key) in named else 'is named by no row'}"
    for claim_id in sorted(found.keys() - seen.claims.keys()):
        yield f"{claim_id}: it is gone, and its words are there"
    for claim_id, claim in seen.claims.items():
        texts = re.findall("[a-z0-9]+", f"{claim['name']} {claim['domain']}".lower())
        if missing := set(texts) - found.get(claim_id, set()):
            yield f"{claim_id}: {sorted(missing)} do not lead to it"


# --- slots ------------------------------------------------------------------------------------------------------------


def slots_name_only_who_stands_there(seen: Seen) -> Iterator[str]:
    """A slot names as holder an official claim, as awaiting one that awaits, as claimant an open one or a fresh no."""
    for (_, engagement, key), slot in seen.slots.items():
        where = f"{engagement} {key}"
        if (holder := slot.get("holder")) is not None:
            claim = seen.claims.get(holder["claim"], {"status": "missing"})
            if claim["status"] != "official" or not holds(claim, key):
                yield f"{where}: its holder {holder['claim']} is {claim['status']}"
            elif holder["since"] != claim["officialSince"]:
                yield f"{where}: its holder is official since {claim['officialSince']}, not {holder['since']}"
        if (awaiting := slot.get("awaiting")) is not None:
            claim = seen.claims.get(awaiting["claim"], {"status": "missing"})
            promised = claim["promise"]["endsAt"] if "openedAt" in claim else None
            if claim["status"] != "awaitingCustomer" or key not in keys(claim):
                yield f"{where}: {awaiting['claim']} awaits the customer there and is {claim['status']}"
            elif awaiting.get("takesOverAt") != promised:
                yield f"{where}: it is taken over at {awaiting.get('takesOverAt')}, promised was {promised}"
        for claimant in slot.get("claimants", ()):
            if "until" in claimant and instant(claimant["until"]) <= seen.now:
                continue  # it has lapsed by itself, and counts for nobody (decision 14)
            claim = seen.claims.get(claimant["claim"], {"status": "missing"})
            allowed = {"declined"} if claimant.get("declined") else UNDECIDED | {"awaitingCustomer"}
            if claim["status"] not in allowed or key not in keys(claim):
                yield f"{where}: its claimant {claimant['claim']} is {claim['status']}"


def claims_have_their_places(seen: Seen) -> Iterator[str]:
    """An official claim holds the slot of each of its items, an awaiting one awaits there, an open one claims it."""
    for claim_id, claim in seen.claims.items():
        for place in places(claim):
            slot = seen.slots.get(place, {})
            match claim["status"]:
                case "official":
                    stands = not holds(claim, place[2]) or slot.get("holder", {}).get("claim") == claim_id
                case "awaitingCustomer":
                    stands = slot.get("awaiting", {}).get("claim") == claim_id
                case "submitted" | "underReview" | "partnerActionRequired" | "disputed":
                    stands = any(one["claim"] == claim_id for one in slot.get("claimants", ()))
                case _:
                    stands = True
            if not stands:
                yield f"{claim_id}: it is {claim['status']} and has no place at {place[1]} {place[2]}"


def one_partner_holds_an_item(seen: Seen) -> Iterator[str]:
    """At no instant are two claims official for the same item of a tenant under one engagement."""
    times: dict[Place, list[tuple[datetime, datetime, str]]] = {}
    for claim_id, claim in seen.claims.items():
        if "officialSince" not in claim:
            continue
        # What was agreed in the past is on paper since then, and holds its item since it was entered.
        entered = [entry["at"] for entry in seen.histories.get(claim_id, ()) if entry["act"] == "imported"]
        since = instant(entered[0] if entered else claim["officialSince"])
        ends = {one["key"]: instant(one["at"]) for one in claim.get("endedItems", ())}
        for place in places(claim):
            until = max(ends.get(place[2], datetime.max.replace(tzinfo=UTC)), since)
            times.setdefault(place, []).append((since, until, claim_id))
    for place, held in times.items():
        held.sort()
        for (_, until, first), (since, _, second) in pairwise(held):
            if until > since:
                yield f"{place[1]} {place[2]}: {first} until {until}, {second} already since {since}"


def keys(claim: Document) -> set[str]:
    """Return the slots' keys of a claim's items, those included that an edit took out and a resubmit leaves."""
    items = (*claim.get("items", ()), *claim.get("leftItems", ()))
    return {item.get("workload") or item["subscriptionId"] for item in items}


def holds(claim: Document, key: str) -> bool:
    """Whether the claim has an item, and has it still."""
    return key in keys(claim) and all(one["key"] != key for one in claim.get("endedItems", ()))


def places(claim: Document) -> Iterable[Place]:
    """Return the slots at which a claim stands or stood."""
    return [(claim["tenantId"], claim["engagement"], key) for key in sorted(keys(claim))]


# --- the customer's window --------------------------------------------------------------------------------------------


def windows_are_whole(seen: Seen) -> Iterator[str]:
    """Every window is five business days of the customer's after the day of the hand-over, by a calendar of our own."""
    for claim_id, claim in seen.claims.items():
        customer = seen.customers[claim["tenantId"]]
        country, zone = customer["country"], customer["timeZone"]
        if (promise := claim.get("promise")) is not None:
            right = window_ends(datetime.fromisoformat(promise["dayZero"]).date(), country, zone)
            if instant(promise["endsAt"]) != right:
                yield f"{claim_id}: promised was {promise['endsAt']}, five days after {promise['dayZero']} end {right}"
        told_at = None
        for entry in seen.histories.get(claim_id, ()):
            if entry["act"] == "customerTold":
                told_at = instant(entry["at"])
            elif entry["act"] == "madeOfficial" and told_at is None:
                yield f"{claim_id}: it became official, and nobody was told"
            elif entry["act"] == "madeOfficial" and told_at is not None:
                least = window_ends(told_at.astimezone(ZoneInfo(zone)).date(), country, zone)
                if instant(entry["at"]) < least:
                    yield f"{claim_id}: it became official at {entry['at']}, told at {told_at}, so not before {least}"


# --- what callers were answered ---------------------------------------------------------------------------------------


def answered_writes_are_there(seen: Seen) -> Iterator[str]:
    """What was answered with success is stored: claims and their states, words, files, presses, registry, figures."""
    hashes = {claim_id: {entry["hash"] for entry in entries} for claim_id, entries in seen.histories.items()}
    for record in (*seen.told("act"), *seen.told("comment"), *seen.told("evidence")):
        claim_id = record["claim"]
        if claim_id not in seen.claims:
            if not _was_deleted(seen, claim_id):
                yield f"{claim_id}: {record['did']} was answered at {record['at']}, and the claim is missing"
            continue
        if record["what"] == "act" and record["hash"] not in hashes.get(claim_id, ()):
            yield f"{claim_id}: {record['did']} was answered at {record['at']}, and is not in the history"
        if "personalDataErased" in seen.acts(claim_id):
            continue
        if record["what"] == "comment" and not any(
            row["text"] == record["text"] for row in seen.rows("claims", f"remark|{claim_id}|")
        ):
            yield f"{claim_id}: words that were taken at {record['at']} are missing"
        if record["what"] == "evidence" and not any(
            file["sha256"] == record["sha256"] for file in seen.claims[claim_id].get("evidence", ())
        ):
            yield f"{claim_id}: a file that was taken at {record['at']} is missing"
    for record in seen.told("deleted"):
        if record["claim"] in seen.claims:
            yield f"{record['claim']}: it was deleted at {record['at']}, and is there"
    yield from _presses(seen)
    yield from _registry_and_figures(seen)


def _was_deleted(seen: Seen, claim_id: str) -> bool:
    last = [change["type"] for feed in seen.feeds.values() for change in feed if change["claimId"] == claim_id][-1:]
    return last in (["claim.deleted"], ["claim.lapsed"])


_PRESSED = {
    "decline": {"declined", "ended"},
    "undo": {"undone"},
    "end": {"ended"},
    "not-me": {"recipientFailed", "customerUnreachable"},
}


def _presses(seen: Seen) -> Iterator[str]:
    answered = Counter((record["claim"], record["did"]) for record in seen.told("press"))
    for (claim_id, act), count in answered.items():
        done = sum(one in _PRESSED[act] for one in seen.acts(claim_id))
        if done < (1 if act == "not-me" else count):  # the same person may say that twice
            yield f"{claim_id}: {act} was answered {count} times with success, and happened {done} times"


def _registry_and_figures(seen: Seen) -> Iterator[str]:
    for tenant, sent in {record["tenant"]: record["sent"] for record in seen.told("registered")}.items():
        stored = seen.customers.get(tenant, {})
        if any(stored.get(name) != sent[name] for name in ("subscriptions", "workloads")):
            yield f"{tenant}: the customer that was registered last is not the one that is stored"
    figures = {(row["PartitionKey"], row["RowKey"]) for row in seen.rows("usage")}
    for record in seen.told("figuresLoaded"):
        if (record["tenant"], f"{record['month']}|{record['item']}") not in figures:
            yield f"{record['tenant']}: figures of {record['month']} for {record['item']} are missing"
    entered = {
        (claim["tenantId"], claim["partnerId"], key)
        for claim_id, claim in seen.claims.items()
        if "imported" in seen.acts(claim_id)
        for key in keys(claim)
    }
    for record in seen.told("imported"):
        if (record["tenant"], record["partnerId"], record["item"]) not in entered:
            yield f"{record['tenant']}: the association of {record['partnerId']} for {record['item']} is missing"


def answers_were_fit_to_give(seen: Seen) -> Iterator[str]:
    """No answer was a fault of the service, nobody was shown what is another's, and no host ended by itself."""
    for record in seen.told("unfit"):
        yield f"{record['did']} at {record['at']}: {record['answer']}"


# --- feeds, receipts --------------------------------------------------------------------------------------------------


def feeds_tell_the_histories(seen: Seen) -> Iterator[str]:
    """Every feed is numbered without gaps, and tells of each claim what its history says, once and in order."""
    told: dict[str, list[Document]] = {}
    for head in seen.rows("changes", "head"):
        organisation = head["PartitionKey"]
        feed = seen.feeds.get(organisation, ())
        numbers = [change["sequence"] for change in feed]
        if numbers != list(range(head["oldest"], head["last"] + 1)):
            yield f"{organisation}: {head['oldest']} to {head['last']} are {len(numbers)} entries"
        for change in feed:
            if change["type"] == "claim.competing":
                continue
            told.setdefault(change["claimId"], []).append(change)
            claim = seen.claims.get(change["claimId"])
            if claim is not None and claim["organisation"] != organisation:
                yield f"{organisation}: it was told of {change['claimId']}, which is another's"
    for claim_id, entries in seen.histories.items():
        happened = [(f"claim.{entry['act']}", entry["to"], entry["at"]) for entry in entries]
        if [(change["type"], change["status"], change["at"]) for change in told.get(claim_id, ())] != happened:
            yield f"{claim_id}: {len(entries)} entries of its history, {len(told.get(claim_id, ()))} in the feed"
    for claim_id in told.keys() - seen.claims.keys():
        if not _was_deleted(seen, claim_id):
            yield f"{claim_id}: the feed tells of it, it was never deleted, and it is missing"


def the_programme_sees_the_histories(seen: Seen) -> Iterator[str]:
    """Each of the programme's feeds has no gap, and has what each claim's history says, once and in order."""
    told: dict[str, list[Document]] = {}
    for head in seen.rows("programme", "a|head"):
        shard = head["PartitionKey"]
        changes = [row["document"] for row in seen.rows("programme", "entry|") if row["PartitionKey"] == shard]
        if [change["sequence"] for change in changes] != list(range(head["oldest"], head["last"] + 1)):
            yield f"shard {shard}: {head['oldest']} to {head['last']} are {len(changes)} changes"
        for change in changes:
            if change["type"] != "claim.competing":
                told.setdefault(change["claimId"], []).append(change)
    for claim_id, entries in seen.histories.items():
        happened = [(f"claim.{entry['act']}", entry["to"], entry["at"]) for entry in entries]
        if [(change["type"], change["status"], change["at"]) for change in told.get(claim_id, ())] != happened:
            yield f"{claim_id}: {len(entries)} entries of its history, {len(told.get(claim_id, ()))} in the programme's"


def the_register_has_the_associations(seen: Seen) -> Iterator[str]:
    """Each item of an association has one row with beginning and end, and no other row is there."""
    found: Counter[Row] = Counter()
    for row in seen.rows("programme", "row|"):
        one = row["document"]
        found[one["associationId"], one["item"], one["since"], one.get("until"), one.get("openFrom")] += 1
    wanted = Counter(row for claim in seen.claims.values() for row in _register_rows(seen, claim))
    for claim_id, item, *times in sorted((found - wanted).elements(), key=str):
        yield f"{claim_id}: the register has {item} {times}"
    for claim_id, item, *times in sorted((wanted - found).elements(), key=str):
        yield f"{claim_id}: the register lacks {item} {times}"


def _register_rows(seen: Seen, claim: Document) -> Iterator[Row]:
    awaits = claim["status"] == "awaitingCustomer" and "openedAt" in claim
    since = claim.get("officialSince") or (claim["promise"]["endsAt"] if awaits else None)
    if since is None:
        return
    ends = {ended["key"]: ended["at"] for ended in claim.get("endedItems", ())}
    for item in claim["items"]:
        key = item.get("workload") or item["subscriptionId"]
        until = ends.get(key)
        slot = seen.slots.get((claim["tenantId"], claim["engagement"], key), {})
        awaiting = slot.get("awaiting") or {}
        taken = awaiting.get("takesOverAt") if awaiting.get("claim") != claim["id"] else None
        if until is None or instant(until) > instant(since):
            yield claim["id"], key, since, until, (since if awaits else taken) if until is None else None


def figures_left_receipts(seen: Seen) -> Iterator[str]:
    """For every answer with figures there is a receipt."""
    receipts = Counter(row["document"]["associationId"] for row in seen.rows("receipts"))
    for claim_id, answers in Counter(record["claim"] for record in seen.told("figures")).items():
        if receipts[claim_id] < answers:
            yield f"{claim_id}: {answers} answers with figures, {receipts[claim_id]} receipts"


def receipts_are_of_associations(seen: Seen) -> Iterator[str]:
    """Every receipt is of the partner whose association it was, for its items, while it was one."""
    ended = {
        row["RowKey"].split("|")[1]: row["Timestamp"]
        for row in seen.rows("claims", "history|")
        if row["document"]["to"] == "ended"
    }
    for row in seen.rows("receipts"):
        receipt = row["document"]
        claim_id = receipt["associationId"]
        claim = seen.claims.get(claim_id)
        if claim is None or "officialSince" not in claim:
            yield f"{claim_id}: there is a receipt, and it never was an association"
        elif (receipt["organisation"], receipt["partnerId"]) != (claim["organisation"], claim["partnerId"]):
            yield f"{claim_id}: {receipt['organisation']} read its figures, and it is another's"
        elif not set(receipt["items"]) <= keys(claim) or row["PartitionKey"] != claim["tenantId"]:
            yield f"{claim_id}: a receipt names items that are not its own"
        elif instant(receipt["at"]) < instant(claim["officialSince"]):
            yield f"{claim_id}: its figures were read at {receipt['at']}, before it was official"
        elif claim_id in ended and (row["Timestamp"] - ended[claim_id]).total_seconds() > MOST_SECONDS_OF_A_READ:
            yield f"{claim_id}: its figures were read after its end was written down"


# --- what is owed -----------------------------------------------------------------------------------------------------


def nothing_is_overdue(seen: Seen) -> Iterator[str]:
    """No due row lies more than five minutes back."""
    for row in seen.rows("duework"):
        due = datetime.strptime(row["RowKey"].partition("|")[0], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
        if due < seen.now - LATE:
            yield f"{row['subject']}: {row['debt']} was due at {due}, and it is {seen.now}"


def queues_are_empty(seen: Seen) -> Iterator[str]:
    """No message waits in a queue, or is held by somebody."""
    for queue, count in seen.waiting.items():
        if count and not queue.endswith(POISON):
            yield f"{queue}: {count} messages"


def nothing_failed_for_good(seen: Seen) -> Iterator[str]:
    """No message went to a poison queue."""
    for queue, count in seen.waiting.items():
        if count and queue.endswith(POISON):
            yield f"{queue}: {count} messages"
    for row in seen.rows("failures"):
        yield f"{row['queue']}: {row['body']} failed five times"


def nothing_is_owed(seen: Seen) -> Iterator[str]:
    """No claim owes a mail, a notice, or anything that time has brought about; every erasure is done."""
    for claim_id, claim in seen.claims.items():
        for debts in ("mails", "partnerMails"):
            for mail in claim.get(debts, ()):
                yield f"{claim_id}: it owes {mail['kind']} since {mail['since']}"
        if claim["status"] == "awaitingCustomer" and "openedAt" not in claim:
            yield f"{claim_id}: its customer was not told"
        elif claim["status"] == "awaitingCustomer" and instant(claim["promise"]["endsAt"]) <= seen.now:
            yield f"{claim_id}: its window is over since {claim['promise']['endsAt']}, and that is not written down"
        if claim["status"] in {"draft", "partnerActionRequired", "rejected"} and instant(claim["due"]) <= seen.now:
            yield f"{claim_id}: it is {claim['status']}, and that ended at {claim['due']}"
        if claim["status"] == "deleted":
            yield f"{claim_id}: it is deleted, and its rows are there"
    for row in seen.rows("settings"):
        if row["PartitionKey"] == "erasures" and "email" in row["document"]:
            yield f"{row['RowKey']}: somebody is still to be erased"


# --- mails and people -------------------------------------------------------------------------------------------------


def mails_were_sent(seen: Seen) -> Iterator[str]:
    """Every notice, every mail that a claim owed its customer, and the mail about a partner's last news arrived."""
    arrived = set(seen.mails)

    def came(claim_id: str, kinds: Iterable[str], number: int, recipients: Iterable[int]) -> bool:
        return any(message_id(claim_id, kind, number, to) in arrived for kind in kinds for to in recipients)

    for claim_id, claim in seen.claims.items():
        acts = seen.acts(claim_id)
        if _UNREACHABLE & set(acts):
            continue  # there may have been nobody to write to
        heard = any(one.get("told") for one in claim.get("recipients", ()))
        if claim["status"] == "ended" and "imported" in acts and not heard:
            continue  # it ended before its mail went out: nothing was left to tell
        recipients = [one["number"] for one in claim.get("recipients", ())]
        promised = range(1, claim.get("promise", {}).get("number", 0) + 1)
        notices = sum(came(claim_id, ("notice",), number, recipients) for number in promised)
        if notices < acts.count("customerTold"):
            yield f"{claim_id}: the customer was told {acts.count('customerTold')} times, by {notices} mails"
        owed = range(1, claim["mailCount"] + 1)
        missing = [number for number in owed if not came(claim_id, _CUSTOMERS_MAILS[1:], number, recipients)]
        if recipients and len(missing) > acts.count("undone"):  # a no that was taken back need not be confirmed
            yield f"{claim_id}: mails {missing} of {claim['mailCount']} to the customer never arrived"
        yield from _partners_news(seen, claim_id, came)


def _partners_news(seen: Seen, claim_id: str, came: Callable[..., bool]) -> Iterator[str]:
    """Judge the mail about the last change of state, which nothing later can have made untrue."""
    if "contacts" not in seen.claims[claim_id]:
        return
    moves = [entry for entry in seen.histories.get(claim_id, ()) if entry["from"] != entry["to"]]
    last = moves[-1] if moves else None
    told_by_mail = {"declined", "madeOfficial", "ended", "undone"}
    if last is None or last["act"] not in told_by_mail or last["actor"]["kind"] in {"person", "app"}:
        return
    kind = "declineUndone" if last["act"] == "undone" else last["act"]
    if not came(claim_id, (kind,), last["sequence"], (0,)):
        yield f"{claim_id}: its partner was not told that it is {last['to']}"


def message_id(claim_id: str, kind: str, number: int, recipient: int) -> str:
    """Return the Message-ID of a mail, which is the same on every try."""
    return str(uuid.uuid5(_MAIL_NAMESPACE, f"{claim_id}|{kind}|{number}|{recipient}"))


def mails_seldom_came_twice(seen: Seen) -> Iterator[str]:
    """Only kills double a mail: two copies a kill at most in all, and four of one mail."""
    copies = Counter(seen.mails)
    extra = len(seen.mails) - len(copies)
    if extra > COPIES_A_KILL * seen.kills:
        yield f"{extra} of {len(seen.mails)} mails were copies, after {seen.kills} kills"
    yield from (f"{mail}: it came {count} times" for mail, count in copies.items() if count > MOST_COPIES)


def people_are_named_only_where_they_may_be(seen: Seen) -> Iterator[str]:
    """No address is in a queue, a log, or a table that holds ids only; no link or token is in a queue or a log."""
    for body in seen.overheard:
        if _ADDRESS.search(body) or _SECRET.search(body):
            yield f"a queue held {body!r}"
    for name, log in seen.logs.items():
        for line in log.splitlines():
            if _ADDRESS.search(line) or _SECRET.search(line):
                yield f"{name}: {line}"
    for table, rows in seen.tables.items():
        for row in rows:
            bare = table not in _FOR_PEOPLE or (table == "claims" and row["RowKey"].startswith(("slot|", "history|")))
            if bare and _ADDRESS.search(json.dumps(row, default=str)):
                yield f"{table}: {row['PartitionKey']} {row['RowKey']} holds an address"


def the_erased_are_gone(seen: Seen) -> Iterator[str]:
    """Who was erased is named in no row any more."""
    asked = {str(record["email"]).lower() for record in seen.told("erased")}
    for table, rows in seen.tables.items() if asked else ():
        for row in rows:
            text = _text(row)
            yield from (f"{table}: {row['RowKey']} names {email}" for email in asked if email in text)


def _text(row: Mapping[str, object]) -> str:
    return json.dumps(row, default=str).lower()


# --- all of it --------------------------------------------------------------------------------------------------------

AT_REST: tuple[Statement, ...] = (
    queues_are_empty,
    nothing_is_overdue,
    nothing_is_owed,
    words_lead_to_claims,
    the_programme_sees_the_histories,
    the_register_has_the_associations,
)
"""What comes true once hosts are left alone for a while; the rest is true at any time."""
STATEMENTS: tuple[Statement, ...] = (
    histories_are_whole,
    claims_stand_where_their_histories_end,
    claims_are_listed,
    slots_name_only_who_stands_there,
    claims_have_their_places,
    one_partner_holds_an_item,
    windows_are_whole,
    answered_writes_are_there,
    answers_were_fit_to_give,
    feeds_tell_the_histories,
    figures_left_receipts,
    receipts_are_of_associations,
    *AT_REST,
    nothing_failed_for_good,
    mails_were_sent,
    mails_seldom_came_twice,
    people_are_named_only_where_they_may_be,
    the_erased_are_gone,
)


def violations(seen: Seen, statements: Iterable[Statement] = STATEMENTS) -> Mapping[str, list[str]]:
    """Return each violated statement, in its own words, with the places where it is."""
    found = {statement: list(statement(seen)) for statement in statements}
    return {(statement.__doc__ or "").strip(): places for statement, places in found.items() if places}


def instant(text: str) -> datetime:
    """Return an instant as it is stored."""
    return datetime.fromisoformat(text)
