"""The host ends when it is told to, and what runs may end first."""

import contextlib
import signal
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.devhost.host_process import RunningHost, running_host, until


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_running_invocations_end_before_the_host_does(storage_connection: str, how: signal.Signals) -> None:
    """A request that was taken is answered, a run by hand is done; the exit code says that all is well."""
    with running_host(storage_connection) as host, _waiting(host, 1500) as statuses:
        assert host.client.post("/admin/functions/tick", json={"input": ""}).status_code == 202

        code = host.stop(how)

        assert code == 0
        assert "devhost: tick succeeded" in host.log
        assert "Traceback" not in host.log
    assert statuses == [200]


def test_nothing_new_is_taken_after_the_signal(storage_connection: str) -> None:
    """Whoever calls now is told at once that nobody listens."""
    with running_host(storage_connection) as host, _waiting(host, 1000):
        host.process.send_signal(signal.SIGTERM)
        until(lambda: "devhost: stopping" in host.log or None)

        with pytest.raises(httpx.ConnectError):
            until(lambda: httpx.get(f"{host.client.base_url}/admin/host/ping").is_error or None)


def test_a_second_signal_ends_it_at_once(storage_connection: str) -> None:
    """Whoever presses Ctrl-C twice does not want to wait, and gets no stack trace for it."""
    with running_host(storage_connection) as host, _waiting(host, 15_000) as statuses:
        host.process.send_signal(signal.SIGINT)
        until(lambda: "devhost: stopping" in host.log or None)

        code = host.stop(signal.SIGINT)

        assert code == -signal.SIGINT
        assert "Traceback" not in host.log
    assert statuses == []


@contextlib.contextmanager
def _waiting(host: RunningHost, milliseconds: int) -> Iterator[list[int]]:
    """Have a request under way that takes its time; what it was answered stands in the list in the end."""
    statuses: list[int] = []

    def call() -> None:
        with contextlib.suppress(httpx.HTTPError):
            statuses.append(httpx.get(f"{host.client.base_url}/api/wait/{milliseconds}", timeout=120).status_code)

    waiting = threading.Thread(target=call)
    waiting.start()
    try:
        until(lambda: "of the app: waiting" in host.log or None)
        yield statuses
    finally:
        waiting.join()
