"""Object stores on this machine's loopback: real servers that keep their objects in memory."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

SETTINGS = {
    "AWS_ACCESS_KEY_ID": "tester",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True)
class Server:
    """A server of S3's or Google's kind.

    Parameters
    ----------
    scheme
        `s3` or `gs`.
    port
        On 127.0.0.1.
    """

    scheme: str
    port: int

    @property
    def root(self) -> str:
        return "s3://" if self.scheme == "s3" else "gs://anonymous@"

    @property
    def query(self) -> str:
        return f"scheme=http&endpoint_override=127.0.0.1:{self.port}"

    def bucket(self) -> str:
        """Make a bucket; return its name."""
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        if self.scheme == "s3":
            self.ask("PUT", f"/{name}")
        else:
            self.ask("POST", "/storage/v1/b", f'{{"name": "{name}"}}'.encode())
        return name

    def address(self, key: str = "run") -> str:
        """Return the address of a key in a bucket of its own."""
        return f"{self.root}{self.bucket()}/{key}?{self.query}"

    def ask(self, method: str, path: str, content: bytes | None = None) -> bytes:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            content,
            {"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return bytes(answer.read())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(scheme: str, *words: str) -> Iterator[Server]:
    """Run a server in a process of its own until the block ends."""
    server = Server(scheme, free_port())
    process = subprocess.Popen(
        [sys.executable, *words, f"--port={server.port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **SETTINGS},
    )
    try:
        ends = time.monotonic() + 60
        while True:
            assert process.poll() is None, "the server ended at once"
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", server.port)):
                    break
            assert time.monotonic() < ends
            time.sleep(0.1)
        yield server
    finally:
        process.kill()
        process.wait()
