"""What the code reads and writes is made by Bicep, and nothing else is."""

from typing import Any

from cpor_app.adapters.storage.tables import TABLES
from cpor_app.bootstrap import CONTAINERS
from cpor_app.queue_names import MAIL_EVENTS, POISON, QUEUES
from tests.infra.bicep import INFRA, declared

DATA = INFRA / "modules" / "data-storage.bicep"
ACCOUNTS = (DATA, INFRA / "modules" / "host-storage.bicep")


def _list(name: str) -> list[str]:
    return list(declared(DATA, "variables")[name]["value"])


def test_tables_queues_and_containers_are_those_of_the_code() -> None:
    """In the cloud the app makes none."""
    assert sorted(_list("tableNames")) == sorted(TABLES)
    assert sorted(_list("queueNames")) == sorted(QUEUES)
    assert sorted(_list("containerNames")) == sorted(CONTAINERS)


def test_every_queue_has_its_poison_queue() -> None:
    """The functions that empty them are triggered by queues that must be there."""
    made = declared(DATA, "resources")["poisonQueues"]["config"]["config"]["name"]

    assert [made.replace("${queueName}", queue) for queue in _list("queueNames")] == [
        f"{queue}-poison" for queue in _list("queueNames")
    ]
    assert sorted(POISON) == sorted(f"{queue}-poison" for queue in _list("queueNames"))


def test_delivery_reports_go_to_the_queue_that_is_read() -> None:
    """Event Grid puts them there."""
    assert declared(INFRA / "modules" / "mail-events.bicep", "parameters")["queueName"]["default"] == MAIL_EVENTS


def test_reports_that_were_not_delivered_are_kept_apart_and_not_for_ever() -> None:
    """In a container that the service itself never opens: they name addresses, so a rule forgets them."""
    resources = declared(INFRA / "modules" / "mail-events.bicep", "resources")
    [rule] = resources["forgetting"]["config"]["properties"]["policy"]["rules"]

    assert resources["undelivered"]["config"]["name"] not in CONTAINERS
    assert rule["definition"]["filters"]["prefixMatch"] == ["${undelivered.name}/"]
    assert declared(INFRA / "modules" / "mail-events.bicep", "parameters")["keptDays"]["default"] == 30


def test_both_accounts_open_to_identities_only() -> None:
    """No keys, nothing public, no old TLS, and no versions that would outlive an erasure."""
    for file in ACCOUNTS:
        resources = declared(file, "resources")
        account: dict[str, Any] = resources["account"]["config"]["properties"]

        assert account["allowSharedKeyAccess"] is False
        assert account["allowBlobPublicAccess"] is False
        assert account["minimumTlsVersion"] == "TLS1_2"
        assert resources["blobs"]["config"]["properties"]["isVersioningEnabled"] is False


def test_deleted_evidence_can_be_brought_back_for_two_weeks() -> None:
    """As the privacy page says; the host's account keeps nothing."""
    assert declared(DATA, "parameters")["softDeleteDays"]["default"] == 14
    assert "RetentionPolicy" not in ACCOUNTS[1].read_text("utf-8")
