"""HTTP functions are found, called and answered for as on the real host."""

import http.client
import json
import re
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.devhost.host_process import RunningHost


def test_a_function_sees_the_request_as_the_real_host_shows_it(host: RunningHost) -> None:
    """Header names in lower case, doubled values joined by commas, empty ones dropped, parameters decoded."""
    headers = [("X-Name", "a"), ("x-name", ""), ("x-name", "b"), ("X-Empty", "")]

    shown = host.client.post(
        "/api/items/42?q=1&empty=&Q=2&q=&flag&s=a+b%20c", headers=headers, content="é".encode()
    ).json()

    assert shown["method"] == "POST"
    assert shown["url"] == f"{host.client.base_url}/api/items/42?q=1&empty=&Q=2&q=&flag&s=a+b%20c"
    assert shown["route"] == {"itemId": "42"}
    assert shown["query"] == {"q": "1,2", "s": "a b c"}
    assert shown["headers"]["x-name"] == "a,b"
    assert "x-empty" not in shown["headers"]
    assert shown["body"] == "é"


def test_an_invocation_has_a_context(host: RunningHost) -> None:
    """A new id each time, the function's name and folder, and a trace that goes on from the caller's."""
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    first = host.client.get("/api/items/1", headers={"traceparent": caller, "tracestate": "a=1"}).json()
    second = host.client.get("/api/items/1", headers={"traceparent": "nonsense", "tracestate": "a=1"}).json()

    assert first["function"] == "show_item"
    assert first["directory"].endswith("sampleapp")
    assert first["retries"] == 0
    assert re.fullmatch(r"00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01", first["traceParent"])
    assert first["traceParent"] != caller
    assert first["traceState"] == "a=1"
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", second["traceParent"])
    assert second["traceState"] == ""
    assert first["invocation"] != second["invocation"]


@pytest.mark.parametrize("path", ["/api/items/1", "/API/Items/1", "/api/items/1/", "/api/./x/../items/%31"])
def test_a_path_is_found_however_it_is_written(host: RunningHost, path: str) -> None:
    """In any case, with a slash at the end, encoded, with dot segments."""
    status, body = _raw(host, "GET", path)

    assert status == 200
    assert json.loads(body)["route"] == {"itemId": "1"}


def test_the_hosts_own_address_leads_to_that_of_the_functions(host: RunningHost) -> None:
    """What is there, the functions say."""
    answer = host.client.get("/", follow_redirects=False)

    assert (answer.status_code, answer.headers["Location"]) == (307, "/api")


def test_the_first_template_by_name_wins(host: RunningHost) -> None:
    """A literal is not more specific: `a_named_item` hides the export, but only for the method that it takes."""
    assert host.client.get("/api/named/export").json() == {"name": "export"}
    assert host.client.delete("/api/named/export").json() == {"export": "DELETE"}


def test_functions_share_a_path_by_method(host: RunningHost) -> None:
    """A function that takes the path and not the method hides nobody."""
    assert host.client.get("/api/items/5").json()["function"] == "show_item"
    assert host.client.put("/api/items/5").json() == {"changed": "5"}


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "nowhere/at/all"), ("GET", "items/abc"), ("DELETE", "items/1"), ("PROPFIND", "fail")]
)
def test_the_catch_all_gets_unknown_paths_and_wrong_methods(host: RunningHost, method: str, path: str) -> None:
    """Any method, even one that HTTP libraries have not heard of."""
    answer = host.client.request(method, f"/api/{path}")

    assert answer.status_code == 404
    assert answer.json() == {"notFound": path, "method": method}


def test_outside_the_prefix_nobody_answers(host: RunningHost) -> None:
    """The host's own 404 has no body, and the headers that `host.json` wants on every answer."""
    answer = host.client.get("/items/1")

    assert answer.status_code == 404
    assert answer.content == b""
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_encoded_slash_stays_encoded(host: RunningHost) -> None:
    """The real host's web server decodes everything in a path but `%2F`."""
    assert host.client.get("/api/named/a%2Fb%25%C5%99%20%FF").json() == {"name": "a%2Fb%ř %FF"}


def test_a_nul_in_the_path_is_refused(host: RunningHost) -> None:
    """No function is called for a path that cannot be decoded."""
    status, body = _raw(host, "GET", "/api/named/a%00b")

    assert (status, body) == (400, b"")


def test_head_is_a_method_like_any_other(host: RunningHost) -> None:
    """The function is called, and its body is counted and not sent."""
    answer = host.client.head("/api/items/1")

    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) > 0
    assert answer.content == b""


def test_an_uncaught_exception_is_an_empty_500(host: RunningHost) -> None:
    """The caller learns nothing of the inside; the log has it all."""
    answer = host.client.get("/api/fail")

    assert answer.status_code == 500
    assert answer.content == b""
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "ValueError: asked to fail" in host.log


@pytest.mark.parametrize("how", ["nothing", "number", "body-without-room", "header"])
def test_an_answer_that_cannot_be_sent_is_an_empty_500(host: RunningHost, how: str) -> None:
    """What is not an HttpResponse, a body where none can be, a header that no header can be."""
    answer = host.client.get(f"/api/odd/{how}")

    assert answer.status_code == 500
    assert answer.content == b""


def test_an_answer_without_a_body_is_sent_as_it_is(host: RunningHost) -> None:
    """204 has neither body nor length."""
    answer = host.client.get("/api/odd/empty")

    assert answer.status_code == 204
    assert "content-length" not in answer.headers


def test_of_two_headers_with_one_name_the_last_is_kept(host: RunningHost) -> None:
    """The worker's own converter keeps one value a name."""
    assert host.client.get("/api/odd/twice").headers.get_list("x-twice") == ["last"]


def test_a_header_of_the_function_wins_over_the_hosts(host: RunningHost) -> None:
    """`customHeaders` fill in what an answer does not have, whatever its case."""
    answer = host.client.get("/api/odd/own")

    assert answer.headers.get_list("referrer-policy") == ["same-origin"]
    assert answer.headers["content-type"].startswith("text/html")


def test_a_chunked_body_arrives_empty(host: RunningHost) -> None:
    """The real host reads no body whose length was not announced; the function can see why."""
    shown = host.client.post("/api/items/1", content=_pieces()).json()

    assert shown["body"] == ""
    assert shown["headers"]["transfer-encoding"] == "chunked"


def test_a_body_above_the_limit_is_refused(host: RunningHost) -> None:
    """413 as soon as such a length is announced, before anything is read."""
    status, body = _raw(host, "POST", "/api/items/1", {"content-length": str(100 * 1024 * 1024 + 1)})

    assert (status, body) == (413, b"")


def test_a_caller_who_leaves_in_the_middle_is_not_answered(host: RunningHost) -> None:
    """No function is called with half a body, and the log has no fault to tell."""
    address = urlsplit(str(host.client.base_url))
    with socket.create_connection((address.hostname, address.port)) as caller:
        caller.sendall(b"POST /api/items/1?left=early HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")

    assert host.client.get("/api/items/1").status_code == 200
    assert "ClientDisconnect" not in host.log


def test_the_log_has_one_line_for_an_invocation_and_nothing_of_its_content(host: RunningHost) -> None:
    """Name, status and duration; tokens in the query and names in the body stay out."""
    shown = host.client.post("/api/items/7?t=secret-token", json={"name": "secret-name"}).json()

    lines = [line for line in host.log.splitlines() if shown["invocation"][:8] in line]
    assert len(lines) == 2
    assert lines[0].endswith("sample: a line of the app")
    assert re.search(r"devhost: show_item answered 200 in \d+ ms$", lines[1])
    assert "secret" not in host.log


def _raw(host: RunningHost, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Send a path just as it is: httpx would tidy it first."""
    connection = http.client.HTTPConnection(urlsplit(str(host.client.base_url)).netloc, timeout=10)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _pieces() -> Iterator[bytes]:
    yield b"in "
    yield b"pieces"
