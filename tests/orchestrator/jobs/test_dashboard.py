"""Addresses, and what is said where no fitting Ray answers."""

import importlib.util
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from bare_cluster import free_port

from orchestrator.errors import RunError, StudyError
from orchestrator.jobs.dashboard import Dashboard, _once_there, dashboard_address


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set first, so that what the code itself sets is undone too.
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
        monkeypatch.setenv(name, "")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("http://head:8265", "http://head:8265"),
        ("https://ray.example.org/", "https://ray.example.org"),
        ("head:8265", "http://head:8265"),
    ],
)
def test_addresses(given: str, address: str) -> None:
    assert dashboard_address(given) == address


def test_what_is_given_comes_before_what_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(StudyError, match="--address: where is the cluster's dashboard"):
        dashboard_address(None)
    monkeypatch.setenv("RAY_ADDRESS", "http://other:8265")
    assert dashboard_address(None) == "http://other:8265"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://third:8265")
    assert dashboard_address(None) == "http://third:8265"
    assert dashboard_address("http://head:1") == "http://head:1"


def test_the_port_of_ray_client_is_another() -> None:
    with pytest.raises(StudyError, match="jobs are submitted to the dashboard"):
        dashboard_address("ray://head:10001")


class _Answers(BaseHTTPRequestHandler):
    """A server that is no Ray of today."""

    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    served = HTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{served.server_address[1]}"
    served.shutdown()
    served.server_close()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>hello</html>", "something answers there that is no Ray dashboard"),
        (json.dumps({"version": "1"}).encode(), "something answers there that is no Ray dashboard"),
        (
            json.dumps({"version": "4", "ray_version": "2.9.3"}).encode(),
            "the cluster runs Ray 2.9.3; 2.52 or newer is needed",
        ),
    ],
)
def test_what_answers_is_not_what_is_needed(
    server: str, body: bytes, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("aiohttp", reason="ray[default] is needed")
    monkeypatch.setattr(_Answers, "body", body)
    with pytest.raises(RunError, match=said) as refused:
        Dashboard(server)
    assert "\n" not in str(refused.value)


def test_nothing_answers() -> None:
    pytest.importorskip("aiohttp", reason="ray[default] is needed")
    address = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(RunError, match=f"{address}: no Ray dashboard can be reached"):
        Dashboard(address)


def test_what_is_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "aiohttp" else find(name)
    )
    with pytest.raises(RunError, match=r"pip install 'scalestudy\[cluster\]'"):
        Dashboard("http://head:8265")


def test_a_cluster_without_an_agent_yet_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    answers = ["No available agent to submit job, please try again later."] * 3

    def submit() -> None:
        if answers:
            raise RuntimeError(f"Request failed with status code 500: {answers.pop()}")

    _once_there(submit)
    assert capsys.readouterr().err.count("waiting for its job agent") == 1

    def refuse() -> None:
        raise RuntimeError("Request failed with status code 500: no")

    with pytest.raises(RuntimeError, match="500: no"):
        _once_there(refuse)
    answers += ["No available agent"] * 1000
    with pytest.raises(RuntimeError, match="No available agent"):
        _once_there(submit)
