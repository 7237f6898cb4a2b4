"""An ingestion endpoint of Application Insights on this machine that keeps its input, for tests."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Ingestion:
    """The input: one dictionary for each row, as the exporter wrote it."""

    connection_string: str
    rows: list[dict[str, Any]] = field(default_factory=list)

    def named(self, kind: str) -> set[str]:
        """Return the names of the rows of a kind, such as `RemoteDependencyData`."""
        return {row["data"]["baseData"]["name"] for row in self.rows if row["data"]["baseType"] == kind}

    def kinds(self) -> set[str]:
        """Return the kinds of the rows."""
        return {row["data"]["baseType"] for row in self.rows}

    def roles(self) -> set[str]:
        """Return the role names of the rows."""
        return {row["tags"]["ai.cloud.role"] for row in self.rows}

    def measured(self) -> set[str]:
        """Return the names of the counters."""
        rows = [row["data"]["baseData"] for row in self.rows if row["data"]["baseType"] == "MetricData"]
        return {metric["name"] for row in rows for metric in row["metrics"]}


@contextmanager
def running_ingestion() -> Iterator[Ingestion]:
    """Listen on a free port of this machine until the end of the block."""
    ingestion = Ingestion("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            rows = json.loads(body)
            ingestion.rows.extend(rows)
            answer = json.dumps({"itemsReceived": len(rows), "itemsAccepted": len(rows), "errors": []}).encode()
            self.send_response(200 if self.path == "/v2.1/track" else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ingestion.connection_string = (
        "InstrumentationKey=00000000-0000-4000-8000-000000000001;"
        f"IngestionEndpoint=http://127.0.0.1:{server.server_port}/"
    )
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield ingestion
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
