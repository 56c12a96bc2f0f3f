"""Studies submitted to a real cluster that wants a token and does not have these packages."""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forks
import pytest
import torch
import yaml
from bare_cluster import TOKEN, BareCluster
from harness import assert_same_tables
from object_stores import SETTINGS, Server
from studies import PLAIN
from torch import nn

from results.store.store import Store
from trainables.training.simulated import PACE_VARIABLE

pytest.importorskip("aiohttp", reason="ray[default] is needed")
pytestmark = pytest.mark.ray

SUBMIT = ("-m", "orchestrator", "submit")
TIMEOUT = 200
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def cluster() -> Iterator[BareCluster]:
    with tempfile.TemporaryDirectory(prefix="ss-") as folder:
        started = BareCluster(Path(folder), variables={PACE_VARIABLE: "0.1", **SETTINGS})
        try:
            started.start()
            assert started.modules("ray", "orchestrator") == ["ray"]
            yield started
        finally:
            started.end()


class Client:
    """The command in a folder of its own, as if on a machine elsewhere."""

    def __init__(self, cluster: BareCluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder

    def study(self, called: str, **values: Any) -> str:
        (self.folder / f"{called}.yaml").write_text(yaml.safe_dump({**values, "name": called}))
        return f"{called}.yaml"

    def start(self, *words: str, **streams: Any) -> forks.Process:
        return forks.start(
            ["-m", "orchestrator", *words, "--address", self.cluster.address],
            cwd=self.folder,
            env=self.cluster.client(PYTHONUNBUFFERED="1"),
            **streams,
        )

    def __call__(self, *words: str, code: int = 0) -> tuple[str, str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=TIMEOUT)
        assert process.returncode == code, out + err
        assert "Traceback" not in err
        assert TOKEN not in out + err
        return out, err

    def document(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "--json", code=code)[0])

    def jobs(self) -> Any:
        """Return what the dashboard shows of all jobs, to whoever may ask."""
        import urllib.request

        request = urllib.request.Request(
            f"{self.cluster.address}/api/jobs/", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=20) as reply:
            return json.loads(reply.read())

    def wait_for(self, process: forks.Process, text: str) -> None:
        """Read what a command prints until it says so."""
        assert process.stdout is not None
        for line in process.stdout:
            if text in line:
                return
        raise AssertionError(f"it ended before it said {text!r}")


def run_here(client: Client, file: str, out: str) -> None:
    """Carry out the same study without Ray, in the client's folder."""
    words = ["run", file, "--address", "none", "--out", out, "--no-report"]
    forks.run(["-m", "orchestrator", *words], cwd=client.folder, check=True, timeout=TIMEOUT)


@pytest.fixture
def client(cluster: BareCluster, tmp_path: Path) -> Client:
    return Client(cluster, tmp_path)


def test_from_submission_to_report(client: Client) -> None:
    file = client.study("small", **PLAIN)
    sent = client.document("submit", file, "--fetch", "--to", "home")
    assert (sent["exit_code"], sent["state"], sent["fetched"]) == (0, "succeeded", "home")
    assert sent["out"] == "~/scalestudy/small"
    fetched, there = Store(client.folder / "home"), client.cluster.home / "scalestudy/small"

    # The tables are those of one machine, and what the cluster wrote is what came.
    run_here(client, file, "here")
    assert_same_tables(fetched.root, client.folder / "here")
    for table in ("trials", "epochs", "environments"):
        names = [part.name for part in fetched.parts(table)]
        assert names == [part.name for part in Store(there).parts(table)]
    assert (fetched.root / "report/index.html").stat().st_size > 10_000

    # Secrets are in no record and not in what the dashboard shows to all.
    assert TOKEN not in json.dumps(client.jobs())
    for path in (path for path in there.rglob("*") if path.is_file()):
        assert TOKEN.encode() not in path.read_bytes()

    job = f"job:{sent['job']}"
    status = client.document("status", job)
    assert (status["trials"], status["running"]) == ({"completed": 8}, False)
    ended = {"job": sent["job"], "state": "succeeded", "exit_code": 0}
    assert {key: status[key] for key in ended} == ended
    said, _ = client("status", job)
    assert said.splitlines()[-1] == f"{job}: succeeded"
    assert client.document("stop", job) == {"stopped": False}
    again, _ = client("report", job)
    assert again.split() == ["runs/small/report/index.html"]
    assert (client.folder / "runs/small/epochs").is_dir()


@pytest.mark.long
def test_submitted_again_with_one_level_more(client: Client) -> None:
    """Only that is trained, in the same run directory."""
    file = client.study("grown", **PLAIN)
    sent = client.document("submit", file, "--fetch", "--to", "home")
    job, fetched = f"job:{sent['job']}", Store(client.folder / "home")
    before = fetched.read("epochs").num_rows
    sets = ("--set", "factors.model=[a, b, c]")
    more = client.document("submit", file, *sets, "--fetch", "--to", "home")
    assert more["job"] != sent["job"]
    assert fetched.read("epochs").num_rows == before * 3 // 2
    assert fetched.read("trials")["attempts"].to_pylist() == [1] * 12

    # A folder that holds something else, or more by now, is left as it is.
    part = fetched.parts("epochs")[0]
    own = part.with_name("own.parquet")
    own.write_bytes(part.read_bytes())
    _, err = client("report", f"job:{more['job']}", "--out", "home", code=2)
    assert "was added to since it was fetched (epochs/own.parquet)" in err
    assert own.exists()
    (client.folder / "here").mkdir()
    (client.folder / "here/study.yaml").write_text("mine")
    _, err = client("report", job, "--out", "here", code=2)
    assert "holds something else than results fetched from" in err


PATIENT = """
import time
from pathlib import Path
from trainables.training.simulated import Simulated

class Patient(Simulated):
    def step(self):
        while self.epoch == 1 and not (Path.home() / "go").exists():
            time.sleep(0.05)
        return super().step()
"""
"""A learner that waits after its first epoch until the test says `go`."""


@pytest.mark.long
def test_interrupted_stopped_and_gone_on_with(client: Client) -> None:
    (client.folder / "patient.py").write_text(PATIENT)
    study = {**PLAIN, "factors": {"model": ["a", "b"]}, "trainable": "patient:Patient"}
    file = client.study("long", **study)
    following = client.start("submit", file)
    client.wait_for(following, "running")
    following.send_signal(signal.SIGINT)
    _, err = following.communicate(timeout=TIMEOUT)
    assert following.returncode == 130
    assert "goes on without being followed" in err
    words = err[err.index("scalestudy stop job:") :].split()
    job = words[2]

    # It does go on, and no second one disturbs it.
    _, err = client("submit", file, "--no-follow", code=1)
    assert f"{job} is at work on ~/scalestudy/long already" in err
    ends = time.monotonic() + TIMEOUT
    while not (status := client.document("status", job))["epochs"]["done"]:
        assert time.monotonic() < ends
    assert status["running"]
    assert client.document("stop", job) == {"stopped": True}
    stopped = client.document("status", job)
    assert (stopped["running"], stopped["state"], stopped["exit_code"]) == (False, "stopped", 130)
    done = stopped["epochs"]["done"]
    assert 0 < done < 4 * 3

    # What is recorded is gone on from.
    (client.cluster.home / "go").touch()
    sent = client.document("submit", file, "--fetch")
    assert sent["state"] == "succeeded"
    fetched = Store(client.folder / "runs/long")
    epochs = fetched.read("epochs").to_pandas()
    assert len(epochs) == 4 * 3
    assert not epochs.duplicated(["trial_id", "epoch"]).any()
    assert len(fetched.read("environments")) == 2


@pytest.mark.long
def test_results_in_an_object_store(client: Client, s3: Server) -> None:
    """The workers write there, the client reads there; nothing is fetched through the head."""
    place = s3.address()
    file = client.study("small", **PLAIN)
    sent = client.document("submit", file, "--out", place)
    assert (sent["exit_code"], sent["out"]) == (0, place)
    run_here(client, file, "here")
    assert_same_tables(place, client.folder / "here")
    job = f"job:{sent['job']}"
    status = client.document("status", job)
    assert (status["trials"], status["running"]) == ({"completed": 8}, False)
    page, _ = client("report", job)
    assert page.strip().startswith(place.partition("?")[0])
    client("report", job, "--to", "home")
    assert (client.folder / "home/index.html").is_file()

    # Stopped in the middle and submitted again, it goes on from what the store holds.
    longer = client.study("longer", **{**PLAIN, "recipe": {"epochs": 40}, "checkpoint_seconds": 0})
    place = s3.address()
    first = client.document("submit", longer, "--out", place, "--no-follow")
    store, ends = Store(place), time.monotonic() + TIMEOUT
    while not store.parts("epochs") or not [*store.checkpoints.iterdir()]:
        assert time.monotonic() < ends
        time.sleep(0.5)
    assert client.document("stop", f"job:{first['job']}") == {"stopped": True}
    assert 0 < store.read("epochs").num_rows < 8 * 40
    assert client.document("submit", longer, "--out", place)["exit_code"] == 0
    assert len(store.read("environments")) == 2
    run_here(client, longer, "whole")
    assert_same_tables(place, client.folder / "whole")


@pytest.mark.long
def test_files_and_modules_go_along(client: Client) -> None:
    """Data and a model of one's own, weights from a file, trained on images."""
    (client.folder / "mine").mkdir()
    (client.folder / "mine/__init__.py").write_text("")
    (client.folder / "mine/images.py").write_text(
        textwrap.dedent("""
            import numpy as np

            def load():
                draw = np.random.default_rng(0)
                labels = np.arange(60) % 2
                images = draw.integers(0, 99, (60, 16, 16, 3), dtype=np.uint8)
                images[labels == 1] += 100
                return (images[:40], labels[:40]), (images[40:], labels[40:])
        """)
    )
    (client.folder / "nets.py").write_text(
        textwrap.dedent("""
            from torch import nn
            from wide import WIDTH

            def tiny(n_classes):
                return nn.Sequential(
                    nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(WIDTH, n_classes)
                )
        """)
    )
    (client.folder / "wide.py").write_text("WIDTH = 48\n")
    state = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 2)).state_dict()
    torch.save(state, client.folder / "start.pth")
    file = client.study(
        "own",
        data={"source": "mine.images:load"},
        factors={"model": ["nets:tiny"], "weights": ["none", {"mine": "start.pth"}]},
        recipe={"epochs": 2, "batch_size": 8},
        resources={"gpu": 0},
    )
    sent = client.document("submit", file, "--fetch")
    assert sent["exit_code"] == 0
    trials = Store(client.folder / "runs/own").read("trials").to_pandas()
    assert list(trials["status"]) == ["completed"] * 2
    assert sorted(trials["weights"]) == ["mine", "none"]


@pytest.mark.long
def test_a_folder_that_a_job_refused_is_not_taken_for_its_results(client: Client) -> None:
    occupied = client.cluster.home / "occupied"
    occupied.mkdir()
    (occupied / "notes.txt").write_text("mine")
    file = client.study("refused", **PLAIN)
    said = "".join(client("submit", file, "--out", str(occupied), code=2))
    job = said[said.index("job:") :].split()[0]
    for command in ("status", "report"):
        _, err = client(command, job, code=1)
        ended = "it has ended (failed with exit code 2) and shows no results"
        assert ended in " ".join(err.split())
        assert "ray job logs" in err
    assert client.document("stop", job) == {"stopped": False}
    assert [*occupied.iterdir()] == [occupied / "notes.txt"]


@pytest.mark.long
def test_rays_own_command_runs_it_from_a_checkout(client: Client, tmp_path: Path) -> None:
    checkout, there = tmp_path / "checkout", client.cluster.home / "by-ray"
    for package in ("orchestrator", "trainables", "results"):
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, checkout / package, ignore=unwanted)
    client.study("small", **PLAIN)
    shutil.copy(tmp_path / "small.yaml", checkout / "study.yaml")

    def submitted(*flags: str) -> "subprocess.CompletedProcess[str]":
        words = ["run", "study.yaml", "--out", str(there), "--no-report", *flags]
        ray = [sys.executable, "-m", "ray.scripts.scripts"]
        options = ["--address", client.cluster.address, "--working-dir", str(checkout)]
        return subprocess.run(
            [*ray, "job", "submit", *options, "--", "python", "-m", "orchestrator", *words],
            cwd=tmp_path,
            env=client.cluster.client(PYTHONUNBUFFERED="1"),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )

    done = submitted()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 completed" in done.stdout
    run_here(client, "small.yaml", "here")
    assert_same_tables(there, tmp_path / "here")
    refused = submitted("--set", "recipe.epochs=none")
    assert refused.returncode != 0
    assert "recipe.epochs" in refused.stdout


@pytest.mark.long
def test_the_exit_code_is_the_runs(client: Client) -> None:
    data = {"source": "imagefolder", "path": "/not/on/the/cluster"}
    out, err = client("submit", client.study("away", data=data), code=2)
    assert "read on the cluster, not shipped: /not/on/the/cluster" in err
    assert "/not/on/the/cluster" in out


def test_what_cannot_be_submitted_is_said_in_one_sentence(client: Client) -> None:
    file = client.study("wrong", **PLAIN)
    for words, code, said in (
        (("submit", file, "--out", "here"), 2, "--out here: this is a path on the cluster"),
        (("submit", file, "--fetch", "--no-follow"), 2, "--fetch waits for the job"),
        (("submit", file, "--out", "s3://me:hunter2@b/run"), 2, "s3://…@…: credentials do not"),
        (("status", "job:none"), 2, "job:none: no such job"),
    ):
        _, err = client(*words, code=code)
        assert err.startswith(f"scalestudy: {said}")
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"RAY_AUTH_MODE": "disabled"}, "is protected by a token; set RAY_AUTH_MODE=token"),
        ({"RAY_AUTH_TOKEN": "other"}, "the cluster refuses the token given"),
    ],
)
def test_the_token_is_wanted(client: Client, variables: dict[str, str], said: str) -> None:
    done = forks.run(
        [*SUBMIT, client.study("s", **PLAIN), "--address", client.cluster.address],
        cwd=client.folder,
        env=client.cluster.client(**variables),
        timeout=TIMEOUT,
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
