"""The host's own endpoints run functions by hand and say what there is."""

import pytest

from tests.devhost.host_process import RunningHost, until


def test_a_timer_runs_by_hand(host: RunningHost) -> None:
    """Accepted at once, run in the background; the name's case does not matter."""
    answer = host.client.post("/admin/functions/Tick", json={"input": ""})

    assert answer.status_code == 202
    assert until(lambda: host.seen(function="tick"))[0] == {"function": "tick", "pastDue": False}


def test_a_queue_function_runs_by_hand_with_the_input_as_its_message(host: RunningHost) -> None:
    """No queue is touched, and a failure is only logged."""
    for text in ("by hand: ř", "by hand: fail"):
        assert host.client.post("/admin/functions/work", json={"input": text}).status_code == 202

    until(lambda: len(host.seen("by hand")) == 2)
    assert [note["body"] for note in host.seen("by hand")] == ["by hand: ř", "by hand: fail"]
    until(lambda: "RuntimeError: asked to fail" in host.log or None)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"nonsense", b'{"Input": ""}'])
def test_a_body_without_an_input_is_refused(host: RunningHost, body: bytes) -> None:
    """400, as on the real host, and nothing runs."""
    assert host.client.post("/admin/functions/tick", content=body).status_code == 400


def test_only_functions_that_nobody_calls_run_by_hand(host: RunningHost) -> None:
    """An HTTP function has an address of its own; an unknown one is not found."""
    assert host.client.post("/admin/functions/show_item", json={"input": ""}).status_code == 400
    assert host.client.post("/admin/functions/nobody", json={"input": ""}).status_code == 404
    assert host.client.get("/admin/functions/nobody").status_code == 404
    assert host.client.delete("/admin/functions/tick").status_code == 404


def test_the_host_says_that_it_is_there(host: RunningHost) -> None:
    """For whoever waits for it to come up."""
    assert host.client.get("/admin/host/ping").status_code == 200
    assert host.client.get("/admin/host/status").json()["state"] == "Running"


def test_functions_are_listed_in_the_order_in_which_they_are_tried(host: RunningHost) -> None:
    """With their bindings, which hold the names of settings and none of their values."""
    functions = {function["name"]: function for function in host.client.get("/admin/functions").json()}

    assert list(functions) == sorted(functions, key=str.lower)
    assert functions["show_item"]["invoke_url_template"] == "/api/items/{itemId:int}"
    assert functions["work"]["config"]["bindings"][0]["connection"] == "SAMPLE_STORAGE"
    assert functions["tick"] == host.client.get("/admin/functions/tick").json()
