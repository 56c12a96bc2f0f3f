"""Where a job's results may go, and a job that failed before it began."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator.errors import RunError, StudyError
from orchestrator.jobs.dashboard import Dashboard
from orchestrator.jobs.fetching import Opened, mirror, target
from orchestrator.jobs.submission import Submission, follow


class FakeDashboard:
    """Stands in for a cluster's dashboard, which answers whatever the test wants."""

    address = "http://head:8265"

    def __init__(
        self,
        status: str = "RUNNING",
        code: int | None = None,
        names: dict[str, list[str]] | None = None,
    ) -> None:
        self.status, self.code, self.names = status, code, names or {}

    def job(self, job: str) -> Any:
        return SimpleNamespace(
            status=SimpleNamespace(value=self.status),
            driver_exit_code=self.code,
            driver_node_id="node",
            message="the runtime environment could not be made\nno space left",
            metadata={"out": "/runs/x"},
        )

    async def log(self, job: str) -> Any:
        yield "some text\n"

    def listing(self, node: str, folder: str) -> list[str]:
        return self.names.get(folder, [])

    def download(self, node: str, name: str, target: Path) -> bool:
        target.write_text(name)
        return True


def submission(**about: Any) -> Submission:
    return Submission(cast(Dashboard, FakeDashboard(**about)), "job-1")


def test_a_job_that_failed_before_it_began_is_no_lost_connection() -> None:
    shown: list[str] = []
    with pytest.raises(RunError, match="failed before the run began: no space left") as refusal:
        follow(submission(status="FAILED"), shown.append)
    assert "may be going on" not in str(refusal.value)
    assert shown == ["some text\n"]


class Outages(FakeDashboard):
    """Loses its connection twice while the job prints nothing; then the job ends."""

    looks = 0

    async def log(self, job: str) -> Any:
        self.looks += 1
        if self.looks in (1, 3):
            raise RunError("the connection is lost.")
        if self.looks == 4:
            self.status, self.code = "SUCCEEDED", 0
        for text in ():
            yield text


def test_each_lost_connection_is_waited_for_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += 40.0

    clock = SimpleNamespace(monotonic=lambda: now, sleep=sleep)
    monkeypatch.setattr("orchestrator.jobs.submission.time", clock)
    assert follow(Submission(cast(Dashboard, Outages()), "job-1"), str) == 0


@pytest.mark.parametrize(
    ("status", "code", "exit_code", "said"),
    [
        ("RUNNING", None, None, "running"),
        ("SUCCEEDED", 0, 0, "succeeded"),
        ("STOPPED", None, 130, "stopped"),
        ("FAILED", 3, 3, "failed with exit code 3"),
        ("FAILED", None, None, "failed before the run began: no space left"),
    ],
)
def test_how_a_job_stands(status: str, code: int | None, exit_code: int | None, said: str) -> None:
    values, sentence = Opened(Path(), submission(status=status, code=code)).standing()
    assert sentence == f"job:job-1: {said}"
    assert values == {
        "running": status == "RUNNING",
        "job": "job-1",
        "state": status.lower(),
        "exit_code": exit_code,
    }


def test_targets_are_looked_at_before_a_job_is_sent(tmp_path: Path) -> None:
    assert target(str(tmp_path / "absent"), "x") == tmp_path / "absent"
    assert target(str(tmp_path), "x") == tmp_path
    assert target(None, "x") == Path("runs/x")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(StudyError, match="a file stands where a folder is needed"):
        target(str(file), "x")
    with pytest.raises(StudyError, match="something else than results fetched from a job"):
        target(str(tmp_path), "x")
    with pytest.raises(StudyError, match="fetched into a folder here"):
        target("s3://bucket/run", "x")


def test_names_that_lead_out_of_the_folder_are_left_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    root = "scalestudy/job-1"
    names = {
        root: [
            f"{root}/study.yaml",
            f"{root}//{outside}",
            f"{root}/../escaped",
            f"{outside}",
            f"{root}/trials/",
        ],
        f"{root}/trials": [f"{root}/trials/a.parquet", f"{root}/trials/../../up.parquet"],
    }
    found = mirror(submission(names=names), tmp_path / "run")
    assert sorted(found) == ["study.yaml", "trials/a.parquet"]
    files = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert files == {"run/study.yaml", "run/trials/a.parquet"}
