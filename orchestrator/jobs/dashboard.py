"""A Ray cluster as its dashboard shows it: jobs and their run directories. Needs ray[default]."""

import importlib.util
import itertools
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import RunError, StudyError
from trainables.errors import first_line

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

WINDOW = "scalestudy"
"""Folder among a node's Ray logs that holds a link to the run directory of each job."""
_OLDEST = (2, 52)
_PATIENCE = 10.0
_NO_AGENT = "No available agent"
_START_UP, _LOOK = 60.0, 2.0
"""Seconds that a cluster may take until it has an agent, and between two tries."""
_READING = 3600


def dashboard_address(given: str | None) -> str:
    """Return the address of a dashboard: as given, else as Ray's own variables say."""
    ray = os.environ.get("RAY_ADDRESS", "")
    address = given or os.environ.get("RAY_API_SERVER_ADDRESS") or (ray if "://" in ray else "")
    if not address:
        raise StudyError(
            "--address: where is the cluster's dashboard? Such as http://head:8265; "
            "RAY_API_SERVER_ADDRESS may hold it too."
        )
    if "://" not in address:
        address = f"http://{address}"
    elif not address.startswith(("http://", "https://")):
        raise StudyError(
            f"--address {address}: jobs are submitted to the dashboard, such as http://head:8265."
        )
    return address.rstrip("/")


class Dashboard:
    """The jobs of one cluster, as the dashboard at an address such as http://head:8265 shows them.

    A `RunError` is raised where nothing answers, or no Ray, or one that is too old or refuses the
    token.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        if importlib.util.find_spec("aiohttp") is None:
            raise RunError(
                "submitting needs ray[default], which is not installed here: "
                "pip install 'scalestudy[cluster]'."
            )
        # Whatever these hold already, Ray prefers it to what it is told.
        os.environ["RAY_API_SERVER_ADDRESS"] = address
        from ray.job_submission import JobSubmissionClient

        for module in ("dashboard_sdk", "job.sdk"):
            logging.getLogger(f"ray.dashboard.modules.{module}").setLevel(logging.ERROR)
        with self._explained():
            _check_there(address)
            self._client = JobSubmissionClient(address)

    def submit(self, **wanted: Any) -> None:
        """Upload what a job takes along and start it, as Ray's `submit_job` is told."""
        with self._explained():
            _once_there(lambda: self._client.submit_job(**wanted))

    def jobs(self) -> list["JobDetails"]:
        """Return the details (Ray's `JobDetails`) of every job of scalestudy, the latest first."""
        with self._explained():
            jobs = self._client.list_jobs()
        ours = [job for job in jobs if job.submission_id and "scalestudy" in (job.metadata or {})]
        return sorted(ours, key=lambda job: -(job.start_time or 0))

    def job(self, job: str) -> "JobDetails":
        """Return the details (Ray's `JobDetails`) of one job of scalestudy, which must be there."""
        found = {known.submission_id: known for known in self.jobs()}
        if job not in found:
            recent = ", ".join([*found][:5]) or "none at all"
            raise StudyError(f"job:{job}: no such job at {self.address}; there are {recent}.")
        return found[job]

    def stop(self, job: str) -> None:
        """Ask a job to end, which it does once it has recorded what it has."""
        with self._explained():
            self._client.stop_job(job)

    async def log(self, job: str) -> AsyncIterator[str]:
        """Yield the text that a job prints, from its beginning until it ends."""
        import aiohttp

        try:
            async for text in self._client.tail_job_logs(job):
                yield text
        except (aiohttp.ClientError, RuntimeError, OSError) as error:
            raise RunError(f"{self.address}: {first_line(error)}") from error

    def listing(self, node: str, folder: str) -> list[str]:
        """Return the names in a folder among a node's Ray logs; those of folders end in a slash."""
        reply = self._get("/api/v0/logs", {"node_id": node, "glob": f"{folder}/*"})
        answer: Any = {"msg": f"status {reply.status_code}"}
        with suppress(ValueError):
            answer = reply.json()
        if not answer.get("result"):
            raise RunError(f"{self.address}: {folder} cannot be listed: {answer.get('msg')}")
        return sorted(name for names in answer["data"]["result"].values() for name in names)

    def download(self, node: str, name: str, into: Path) -> bool:
        """Copy a file among a node's Ray logs into a file here; return whether it was there."""
        query = {"node_id": node, "filename": name, "lines": "-1", "timeout": str(_READING)}
        with self._get("/api/v0/logs/file", query) as reply, into.open("wb") as file:
            if reply.status_code != 200:
                return False
            with self._explained():
                file.writelines(reply.iter_content(2**20))
        return True

    def _get(self, endpoint: str, query: dict[str, str]) -> Any:
        # Ray's own functions for this ask inside the cluster; this client knows tokens and proxies.
        with self._explained():
            return self._client._do_request("GET", endpoint, params=query, stream=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what Ray and the connection say into one sentence."""
        import requests
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            is_refused = str(error).startswith("Authentication failed")
            why = "refuses the token given" if is_refused else "is protected by a token"
            raise RunError(
                f"{self.address}: the cluster {why}; set RAY_AUTH_MODE=token, and "
                "RAY_AUTH_TOKEN_PATH to the file that holds the token."
            ) from None
        except (requests.exceptions.RequestException, ConnectionError) as error:
            is_late = "imed out" in str(error)
            why = "it does not answer in time" if is_late else "nothing answers there"
            if "SSL" in type(error).__name__:
                why = f"its certificate is not accepted ({first_line(error)})"
            raise RunError(
                f"{self.address}: no Ray dashboard can be reached ({why}). Is the cluster up, was "
                "it started with its dashboard, and does this machine reach that port (a tunnel, "
                "a port-forward)? The dashboard's port is 8265 unless told otherwise, not Ray's "
                "own 6379."
            ) from None
        except RuntimeError as error:
            raise RunError(f"{self.address}: {first_line(error)}") from None


def _once_there(submit: Callable[[], object]) -> None:
    for waited in itertools.count():
        try:
            submit()
            return
        except RuntimeError as error:
            if _NO_AGENT not in str(error) or waited * _LOOK >= _START_UP:
                raise
            if not waited:
                print("the cluster is starting: waiting for its job agent", file=sys.stderr)
        time.sleep(_LOOK)


def _check_there(address: str) -> None:
    """Ask for the version first: Ray's client waits for minutes where nothing answers."""
    import requests

    reply = requests.get(f"{address}/api/version", timeout=_PATIENCE)
    if reply.status_code in (401, 403):
        # With its token, the client asks again.
        return
    try:
        version = str(reply.json()["ray_version"])
    except (ValueError, TypeError, KeyError):
        raise RunError(
            f"{address}: something answers there that is no Ray dashboard "
            f"(status {reply.status_code}); the dashboard's port is 8265 by default."
        ) from None
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise RunError(f"{address}: the cluster runs Ray {version}; {oldest} or newer is needed.")
