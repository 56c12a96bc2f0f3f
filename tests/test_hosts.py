"""A study over several hosts, each with its own network: one is killed, one is cut off."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from bare_cluster import bare_python, scalestudy
from harness import assert_same_tables
from hosts import PORT, Host, Network, Watch, missing, network, start_ray

from orchestrator.run.runner import run_study
from orchestrator.study.study import study_from
from results.store.store import Store
from trainables.training.simulated import PACE_VARIABLE

pytestmark = [
    pytest.mark.ray,
    pytest.mark.long,
    pytest.mark.skipif(missing() is not None, reason=f"hosts: {missing()}"),
]

SIMULATED: dict[str, Any] = {
    "name": "hosts",
    "trainable": "simulated",
    "factors": {"model": ["a", "b"], "weights": ["none", "big"], "fraction": ["1/4", 1]},
    "recipe": {"epochs": 10},
    "seeds": [0, 1],
    "resources": {"gpu": 1},
    "checkpoint_seconds": 0,
}
TRAINED: dict[str, Any] = {
    "name": "digits-hosts",
    "factors": {"model": ["squeezenet1_1"], "fraction": ["1/8", "1/4"]},
    "recipe": {"epochs": 6, "batch_size": 32, "optimizer": "sgd", "lr": "1e-2"},
    "seeds": [0, 1],
    "resources": {"gpu": 0},
    "checkpoint_seconds": 0,
}


@pytest.fixture
def net() -> Iterator[Network]:
    """Return a network, ended with all that runs on it."""
    with network() as made:
        yield made


def cluster(
    net: Network,
    gpus: int = 0,
    own: tuple[Path, ...] = (),
    pace: float = 0,
    environment: dict[str, str] | None = None,
    **of_ray: Any,
) -> tuple[list[Host], Watch]:
    """Start Ray on a head without places and on three workers with one each."""
    head = net.add("head")
    start_ray(head, environment=environment, **of_ray)
    watch = Watch(head)
    watch.wait([head])
    hosts = [head]
    # One after another: where they share two cores, agents that start slowly end a node.
    for number in (1, 2, 3):
        hosts.append(net.add(f"worker{number}", own))
        variables = {**(environment or {}), PACE_VARIABLE: str(pace)}
        start_ray(hosts[-1], head, cpus=1, gpus=gpus, environment=variables, **of_ray)
        watch.wait(hosts)
    return hosts, watch


def start(head: Host, study: dict[str, Any], out: Path) -> "subprocess.Popen[str]":
    """Start the command on the head, against the cluster."""
    file = out.parent.parent / "study.yaml"
    file.write_text(yaml.safe_dump(study))
    words = ["run", str(file), "--out", str(out), "--no-report"]
    return head.start(
        [sys.executable, "-m", "orchestrator", *words, "--address", f"{head.address}:{PORT}"]
    )


def wait_for_rows_of(hosts: list[Host], out: Path, process: "subprocess.Popen[str]") -> None:
    """Wait until each host has trained an epoch that is recorded."""
    store, names = Store(out), {host.name for host in hosts}
    while not (
        store.root.is_dir()
        and store.parts("epochs")
        and names <= set(store.read("epochs", ["host"])["host"].to_pylist())
    ):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)


def test_a_host_killed_and_a_link_cut_change_no_row(net: Network, tmp_path: Path) -> None:
    """The run directory is on a file system that all hosts share."""
    out = tmp_path / "runs" / "hosts"
    out.parent.mkdir()
    (head, *workers), watch = cluster(net, gpus=1, pace=0.5)
    process = start(head, SIMULATED, out)
    wait_for_rows_of(workers, out, process)
    end_under_faults(net, watch, [head, *workers], process)
    assert_two_were_taken_up_again(out)
    assert_same_as_alone(out, SIMULATED, tmp_path)


def test_submitted_to_hosts_that_do_not_have_it(net: Network, tmp_path: Path) -> None:
    """The client sees the head's dashboard and none of the cluster's files.

    The cluster's Python lacks these packages; its hosts share a home folder.
    """
    home, there = tmp_path / "home", tmp_path / "home/scalestudy/hosts"
    home.mkdir()
    python, variables = bare_python(tmp_path / "python")
    variables = {**variables, "HOME": str(home), "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    ray: dict[str, Any] = {"python": str(python), "dashboard": True}
    (head, *workers), watch = cluster(net, gpus=1, pace=0.5, environment=variables, **ray)
    lacks = "import importlib.util as u; assert u.find_spec('ray') and not u.find_spec('results')"
    for host in (head, *workers):
        host.run([str(python), "-c", lacks], variables)
    client, folder = net.add("client", (home,)), tmp_path / "client"
    folder.mkdir()
    (folder / "study.yaml").write_text(yaml.safe_dump(SIMULATED))
    address = f"http://{head.address}:8265"
    words = [str(folder / "study.yaml"), "--fetch", "--to", str(folder / "fetched")]
    process = client.start(scalestudy("submit", *words, "--address", address))
    wait_for_rows_of(workers, there, process)
    assert client.run(["ls", "--almost-all", str(home)]) == ""
    output = end_under_faults(net, watch, [head, *workers], process)
    assert "job:hosts-" in output
    assert_two_were_taken_up_again(folder / "fetched")
    assert_same_tables(folder / "fetched", there)
    assert_same_as_alone(folder / "fetched", SIMULATED, tmp_path)


def test_a_killed_host_that_shared_no_files_is_made_good(net: Network, tmp_path: Path) -> None:
    """Real training; checkpoints lie on each worker's own disk, and are lost with it."""
    out = tmp_path / "runs" / "digits"
    out.parent.mkdir()
    (head, *workers), watch = cluster(net, own=(out.parent,))
    process = start(head, TRAINED, out)
    wait_for_rows_of(workers, out, process)
    workers[0].kill()
    began = time.monotonic()
    noticed = watch.wait([head], [workers[0]]) - began
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    trials = Store(out).read("trials").to_pandas()
    print(f"\nkilled host noticed after {noticed:.0f} s; attempts {list(trials.attempts)}")
    assert (trials.attempts == 2).sum() == 1
    assert_same_as_alone(out, TRAINED, tmp_path)


def end_under_faults(
    net: Network, watch: Watch, hosts: list[Host], process: "subprocess.Popen[str]"
) -> str:
    """Kill the first worker, cut the second off, and let the study end; return what it printed."""
    head, killed, cut, _ = hosts
    killed.kill()
    net.cut(cut.name)
    began = time.monotonic()
    noticed = [watch.wait([head], [killed]) - began, watch.wait([head], [killed, cut]) - began]
    output, _ = process.communicate(timeout=300)
    took = time.monotonic() - began
    assert process.returncode == 0, output
    print(
        f"\nkilled host noticed after {noticed[0]:.0f} s, cut link after {noticed[1]:.0f} s; "
        f"complete {took:.0f} s after the faults"
    )
    assert noticed[0] < 60
    assert noticed[1] < 120
    return output


def assert_two_were_taken_up_again(out: Path) -> None:
    """Each of the two hosts had a trial at work when it was lost."""
    trials = Store(out).read("trials").to_pandas()
    print(f"attempts {dict(trials.attempts.value_counts())}")
    assert (trials.status == "completed").all()
    assert (trials.attempts == 2).sum() == 2


def assert_same_as_alone(out: Path, study: dict[str, Any], folder: Path) -> None:
    """Compare both tables with those of one process on one machine, to the last digit."""
    alone = {**study, "resources": {"gpu": 0}}
    assert run_study(study_from(alone), folder / "alone", address="none").exit_code == 0
    rows = [len(Store(out).read(name)) for name in ("epochs", "trials")]
    print(f"rows compared: {rows[0]} epochs, {rows[1]} trials")
    assert_same_tables(out, folder / "alone", but=("gpu",))
