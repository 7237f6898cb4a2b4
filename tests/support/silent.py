"""A storage account that accepts every connection and never answers, for tests."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread

KEY = "dGVzdA=="


@dataclass
class Silent:
    """Its address, and the accepted connections."""

    connection_string: str
    taken: list[socket.socket] = field(default_factory=list)


@contextmanager
def silent_storage() -> Iterator[Silent]:
    """Listen on a free port of this machine without answers until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/silent"
        endpoints = "".join(f"{kind}Endpoint={url};" for kind in ("Table", "Queue", "Blob"))
        silent = Silent(f"AccountName=silent;AccountKey={KEY};{endpoints}")

        def take() -> None:
            while True:
                try:
                    silent.taken.append(server.accept()[0])
                except OSError:
                    return

        thread = Thread(target=take)
        thread.start()
        try:
            yield silent
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for taken in silent.taken:
                taken.close()
