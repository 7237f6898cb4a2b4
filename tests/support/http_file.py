"""
Runs a file of requests as an editor does, as far as its syntax is used in docs/requests.http.

`###` begins a request, `# @name` names it, `@variable = value` sets a variable. `{{variable}}`, `{{$guid}}`,
`{{$datetime "YYYY-MM-DD" -30 d}}`, `{{name.response.body.$.field}}` and `{{name.response.headers.ETag}}` are filled in.
"""

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

_VARIABLE = re.compile(r"@(\w+)\s*=\s*(.*)")
_NAME = re.compile(r"#\s*@name\s+(\w+)")
_PLACE = re.compile(r"\{\{\s*(.+?)\s*\}\}")
_DATETIME = re.compile(r'\$datetime "([YMD-]+)"(?: (-?\d+) d)?')


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the file, before its variables are filled in."""

    title: str
    name: str | None
    line: str
    headers: Mapping[str, str]
    body: str


@dataclass
class HttpFile:
    """A file, its variables, and the answers to its named requests."""

    requests: list[Request]
    variables: dict[str, str]
    answers: dict[str, httpx.Response] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, **variables: str) -> "HttpFile":
        """Read a file. *variables* replace its own variables."""
        first, *parts = re.split(r"^###", path.read_text("utf-8"), flags=re.MULTILINE)
        own = {match[1]: match[2].strip() for line in first.splitlines() if (match := _VARIABLE.fullmatch(line))}
        assert set(variables) <= set(own), "the file has no such variable"
        return cls([_request(part) for part in parts], {**own, **variables})

    def run(self, client: httpx.Client) -> Iterator[tuple[Request, httpx.Response]]:
        """Send every request, in the order of the file."""
        for request in self.requests:
            yield request, self.send(client, request)

    def send(self, client: httpx.Client, request: Request) -> httpx.Response:
        """Send one request."""
        method, _, address = self._filled(request.line).partition(" ")
        headers = {name: self._filled(value) for name, value in request.headers.items()}
        answer = client.request(method, address, headers=headers, content=self._filled(request.body).encode())
        if request.name is not None:
            self.answers[request.name] = answer
        return answer

    def _filled(self, text: str) -> str:
        return _PLACE.sub(lambda place: self._value(place[1]), text)

    def _value(self, place: str) -> str:
        if place == "$guid":
            return str(uuid.uuid4())
        if (match := _DATETIME.fullmatch(place)) is not None:
            form = match[1].replace("YYYY", "%Y").replace("MM", "%m").replace("DD", "%d")
            return (datetime.now(UTC) + timedelta(days=int(match[2] or 0))).strftime(form)
        if place in self.variables:
            return self.variables[place]
        name, _, rest = place.partition(".response.")
        answer = self.answers[name]
        if rest.startswith("headers."):
            return str(answer.headers[rest.removeprefix("headers.")])
        return str(answer.json()[rest.removeprefix("body.$.")])


def _request(part: str) -> Request:
    title, _, text = part.partition("\n")
    head, _, body = text.partition("\n\n")
    lines = head.splitlines()
    names = [match[1] for line in lines if (match := _NAME.fullmatch(line))]
    line, *headers = [line for line in lines if line and not line.startswith("#")]
    pairs = (header.partition(":") for header in headers)
    given = {name: value.strip() for name, _, value in pairs}
    return Request(title.strip(), names[0] if names else None, line, given, body.strip())
