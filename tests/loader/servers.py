"""Servers on loopback that hold a dataset folder: plain HTTP, and one that speaks S3."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any


class Served:
    """A folder that is served over HTTP: its URL, the files that were fetched, and a gate that fetches of tars wait at."""

    def __init__(self, url: str, fetched: list[str], gate: Event) -> None:
        self.url, self.fetched, self.gate = url, fetched, gate

    def tars(self) -> list[str]:
        """Return the tars that were fetched, in order."""
        return [name for name in self.fetched if name.endswith(".tar")]


@contextmanager
def http_server(folder: Path) -> Iterator[Served]:
    """Serve a folder until the block ends."""
    fetched: list[str] = []
    gate = Event()
    gate.set()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            fetched.append(self.path.rpartition("/")[2])
            if self.path.endswith(".tar"):
                gate.wait(60)
            super().do_GET()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Served(f"http://127.0.0.1:{server.server_address[1]}", fetched, gate)
    finally:
        gate.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def s3_server() -> Iterator[dict[str, Any]]:
    """Run a server that speaks S3 until the block ends; yield the options by which fsspec finds it."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = {"region_name": "eu-west-1"}
    try:
        yield {"key": "key", "secret": "secret", "endpoint_url": f"http://{host}:{port}", "client_kwargs": client}
    finally:
        server.stop()
