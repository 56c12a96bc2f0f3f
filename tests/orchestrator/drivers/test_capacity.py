"""Places that come and go: the arithmetic on made-up nodes, and real nodes of a Ray cluster."""

import json
import os
import site
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bare_cluster import BareCluster
from faulty import mark
from forks import Process
from harness import Command, assert_same_tables
from studies import a_pass, study

from orchestrator.drivers.capacity import GIVE_UP_SECONDS, Capacity
from orchestrator.errors import RunError
from orchestrator.ledger.passes import Pass
from orchestrator.placement.placer import Placer
from orchestrator.placement.shares import Node, Share
from orchestrator.run.runner import run_study
from orchestrator.study.inputs import find_inputs
from orchestrator.study.study import study_from
from results.store.store import Store
from trainables.training.simulated import PACE_VARIABLE


class Yard:
    """A cluster whose nodes a test moves, with a clock that it winds."""

    def __init__(self, *nodes: Node) -> None:
        self.now, self.there, self.held = 0.0, list(nodes), 0.0
        self.said: list[str] = []

    def nodes(self) -> list[Node]:
        return list(self.there)

    def free(self) -> list[Node]:
        return [Node(node.host, node.cpu - self.held, node.gpu) for node in self.there]

    def capacity(self, work: Pass, share: Share, **flags: Any) -> Capacity:
        work.share = lambda trial: share
        return Capacity(
            work,
            self,
            SimpleNamespace(nodes=self.nodes()),
            self.said.append,
            **flags,
            clock=lambda: self.now,
        )

    def wait(self, capacity: Capacity, seconds: float) -> None:
        for _ in range(round(seconds)):
            self.now += 1
            capacity.tick()


def test_nodes_that_join_and_leave_change_the_places(tmp_path: Path) -> None:
    yard, work = Yard(Node("a", 2, 0)), a_pass(study(), tmp_path)
    capacity = yard.capacity(work, Share(1, 0))
    assert (capacity.slots, capacity.limit, work.slots) == (2, 3, 2)
    yard.there.append(Node("b", 4, 0))
    yard.wait(capacity, 6)
    assert (capacity.slots, capacity.limit, work.slots) == (6, 7, 6)
    yard.there.pop(0)
    yard.wait(capacity, 6)
    assert (capacity.slots, capacity.limit) == (4, 5)
    assert yard.said == [
        "joined: b: 4 CPUs; 2 before, now 6 trials at a time",
        "left: a: 2 CPUs; 6 before, now 4 trials at a time",
    ]


def test_trials_that_are_yet_to_be_proposed_have_all_places_too(tmp_path: Path) -> None:
    search = {"lr": {"loguniform": [1e-4, 1e-1]}, "algorithm": "optuna", "samples": 4}
    work = a_pass(study(search=search), tmp_path)
    assert Yard(Node("a", 3, 0)).capacity(work, Share(1, 0)).slots == 3


def test_no_more_than_asked_for(tmp_path: Path) -> None:
    yard, work = Yard(Node("a", 8, 0)), a_pass(study(), tmp_path)
    capacity = yard.capacity(work, Share(1, 0), max_parallel=3)
    assert (capacity.slots, capacity.limit) == (3, 3)
    yard.there = [Node("b", 2, 0)]
    yard.wait(capacity, 6)
    # One waits, so that the cluster may add a place for it.
    assert (capacity.slots, capacity.limit) == (2, 3)


def test_what_waits_says_for_what(tmp_path: Path) -> None:
    yard, work = Yard(Node("a", 2, 1), Node("b", 2, 1)), a_pass(study(), tmp_path)
    capacity = yard.capacity(work, Share(1, 1))
    first, second = work.next(), work.next()
    assert first is not None
    assert second is not None
    work.start(first.trial.trial_id)
    yard.held = 2
    yard.wait(capacity, 25)
    assert yard.said == []
    yard.wait(capacity, 20)
    assert len(yard.said) == 1
    assert yard.said[0].startswith("1 running; 1 trial waiting for 1 CPU and 1 GPU on one machine")
    assert yard.said[0].endswith("(free: 2 × 1 GPU)")
    # Ever rarer: after 30 s, 60, 120, …
    yard.wait(capacity, 400)
    assert len(yard.said) == 4
    # As many as there are places: the one that waits is only the next.
    work.start(second.trial.trial_id)
    work.next()
    yard.wait(capacity, 200)
    assert yard.said[4:] == ["going on: 2 trials running"]


def test_of_unlike_trials_the_large_ones_wait_their_turn(tmp_path: Path) -> None:
    yard, work = Yard(Node("a", 4, 0)), a_pass(study(), tmp_path)
    capacity = yard.capacity(work, Share(4, 0))
    work.share = lambda trial: Share(1 if trial.model == "a" else 4, 0)
    yard.there.append(Node("b", 4, 0))
    yard.wait(capacity, 6)
    assert (capacity.slots, capacity.limit) == (8, 9)
    for _ in range(2):
        wanted = work.next()
        assert wanted is not None
        work.start(wanted.trial.trial_id)
    work.next()
    yard.wait(capacity, 200)
    assert len(yard.said) == 1


def test_nobody_waits_for_ever_for_a_node_that_does_not_come_back(tmp_path: Path) -> None:
    yard, work = Yard(Node("head", 0, 0), Node("a", 2, 1)), a_pass(study(), tmp_path)
    capacity = yard.capacity(work, Share(1, 1 / 2))
    work.next()
    yard.there.pop()
    yard.wait(capacity, 60)
    assert yard.said[0] == "left: a: 2 CPUs and 1 GPU; 2 before, now 0 trials at a time"
    assert "1 trial waiting for 1 CPU and 0.5 GPUs on one machine since" in yard.said[1]
    assert "no node has that; free: head: neither CPUs nor GPUs" in yard.said[1]
    assert capacity.limit == 1
    with pytest.raises(RunError, match="for an hour no node had that") as error:
        yard.wait(capacity, GIVE_UP_SECONDS)
    assert "run again" in str(error.value)
    # One that comes back in time is used.
    yard.there.append(Node("c", 4, 1))
    yard.wait(capacity, 6)
    assert capacity.slots == 2


def test_a_cluster_that_grows_is_asked_for_what_is_needed(tmp_path: Path) -> None:
    """Nothing need be there yet, and GPUs are named that nobody has seen."""
    yard, work = Yard(Node("head", 0, 0)), a_pass(study(), tmp_path)
    with pytest.raises(RunError, match="--autoscale asks for them"):
        yard.capacity(work, Share(1, 1))
    asked = yard.capacity(work, Share(1, 1), max_parallel=5, grows=True)
    assert (asked.slots, asked.limit, work.slots) == (0, 5, 1)
    # Without a number, one node after another is asked for.
    capacity = yard.capacity(work, Share(1, 1), grows=True)
    assert (capacity.slots, capacity.limit) == (0, 1)
    yard.there.append(Node("a", 8, 4))
    yard.wait(capacity, 6)
    assert (capacity.slots, capacity.limit) == (4, 5)


@pytest.mark.parametrize("gpu", ["auto", 1])
def test_what_gpus_hold_is_not_known_before_they_are_there(gpu: str | int) -> None:
    declared = study(
        trainable="classifier", factors={"model": ["resnet18"]}, resources={"gpu": gpu}
    )
    placer = Placer(declared, find_inputs(declared), grows=True)
    if gpu == 1:
        assert placer.meet([Node("head", 0, 0)]) == []
        assert placer.declared() == Share(1, 1)
    else:
        with pytest.raises(RunError, match="auto measures what a GPU holds on one that is there"):
            placer.meet([Node("head", 0, 0)])


STUDY: dict[str, Any] = {
    "name": "nodes",
    "trainable": "simulated",
    "factors": {"model": ["a", "b"], "fraction": ["1/4", 1]},
    "recipe": {"epochs": 8},
    "seeds": [0, 1, 2, 3],
    "checkpoint_seconds": 0,
    # A machine that goes is no failure of its trials.
    "max_failures": 0,
}


@pytest.fixture
def ray_nodes(no_ray: None) -> Iterator[Any]:
    """Return a Ray cluster that has no node yet."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def let_go(store: Store, trials: int) -> None:
    """Say `go` as soon as so many trials have recorded an epoch."""
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        if store.root.is_dir() and store.parts("epochs"):
            rows = store.read("epochs", ["trial_id"])["trial_id"].to_pylist()
            if len(set(rows)) >= trials:
                break
        time.sleep(0.1)
    mark("go").touch()


def most_at_once(out: Path) -> int:
    """Return how many trials ran at the same moment, by their own first and last rows."""
    spans = Store(out).read("trials").to_pandas()[["started_at", "ended_at"]]
    return max(
        int(((spans.started_at <= moment) & (spans.ended_at > moment)).sum())
        for moment in spans.started_at
    )


@pytest.mark.ray
@pytest.mark.long
def test_real_nodes_join_and_leave_during_a_study(
    faults: Path, ray_nodes: Any, tmp_path: Path
) -> None:
    go = mark("go")
    go.unlink(missing_ok=True)
    waiting = {**STUDY, "trainable": "faulty:Waits", "seeds": [0, 1]}
    ray_nodes.add_node(num_cpus=0)
    first = ray_nodes.add_node(num_cpus=1)
    command = Command(tmp_path, waiting, ("--address", ray_nodes.address))
    process = command.recording()
    ray_nodes.add_node(num_cpus=2)
    said = read_until(process, "2 CPUs; 1 before, now 3 trials at a time")
    assert "] 1 trial at a time" in said
    ray_nodes.remove_node(first, allow_graceful=False)
    read_until(process, "1 CPU; 3 before, now 2 trials at a time")
    go.touch()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert command.store.read("trials").to_pandas().attempts.max() == 2
    run_study(study_from(waiting), tmp_path / "whole", address="none")
    assert_same_tables(command.out, tmp_path / "whole")


def read_until(process: Process, sentence: str) -> str:
    """Read what a process prints until it has said a sentence; return all of it."""
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said = " ".join([*said.split(), *line.split()])
        if sentence in said:
            return said
    raise AssertionError(said)


@pytest.mark.ray
def test_no_more_at_a_time_than_asked_for_and_none_that_fits_nowhere(
    faults: Path, ray_nodes: Any, tmp_path: Path
) -> None:
    """Four GPUs in all, and none of the nodes has more than two."""
    import ray

    go = mark("go")
    go.unlink(missing_ok=True)
    for _ in range(2):
        ray_nodes.add_node(num_cpus=4, num_gpus=2)
    ray.init(address=ray_nodes.address, log_to_driver=False, logging_level="ERROR")
    large = {**STUDY, "resources": {"gpu": 4, "cpu": 4}}
    with pytest.raises(RunError) as error:
        run_study(study_from(large), tmp_path / "large")
    said = str(error.value)
    assert "4 CPUs and 4 GPUs on one machine" in said
    assert "2 × 4 CPUs and 2 GPUs" in said
    assert "ask for less in resources.cpu and resources.gpu" in said
    assert Store(tmp_path / "large").parts("epochs") == []

    waiting = {**STUDY, "trainable": "faulty:Waits", "seeds": [0]}
    told = threading.Thread(target=let_go, args=(Store(tmp_path / "small"), 2))
    told.start()
    run_study(study_from(waiting), tmp_path / "small", max_parallel=2)
    told.join()
    assert most_at_once(tmp_path / "small") == 2


@pytest.mark.ray
@pytest.mark.long
def test_a_real_cluster_grows_from_nothing_and_no_further_than_asked(tmp_path: Path) -> None:
    """Ray's own autoscaler, with its provider whose nodes are processes of this machine."""
    with tempfile.TemporaryDirectory(prefix="as-") as name, growing(Path(name)) as address:
        study_file = {**STUDY, "recipe": {"epochs": 4}, "seeds": [0, 1], "resources": {"gpu": 0}}
        flags = ("--address", address, "--autoscale", "--max-parallel", "3")
        command = Command(tmp_path, study_file, flags)
        said = " ".join(command.finish(timeout=120).split())
        assert "0 trials at a time" in said
        assert "0 before, now" in said
        trials = command.store.read("trials").to_pandas()
        assert (trials.status == "completed").all()
        assert most_at_once(command.out) <= 3
        # Nodes of two places each: two of the four that it may have.
        assert said.count("joined: ") in (1, 2)
        assert "3 before" not in said
        assert "6 trials" not in said
        run_study(study_from(study_file), tmp_path / "whole", address="none")
        assert_same_tables(command.out, tmp_path / "whole")


@contextmanager
def growing(folder: Path) -> Iterator[str]:
    """Start a head without places, which may start four nodes of two CPUs; yield its address."""
    # Where the provider's nodes look for it.
    from ray.util import get_node_ip_address

    cluster = BareCluster(
        folder,
        cpus=0,
        variables={
            "RAY_AUTH_MODE": "disabled",
            "RAY_FAKE_CLUSTER": "1",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "PYTHONPATH": os.pathsep.join([*site.getsitepackages(), os.environ["PYTHONPATH"]]),
            PACE_VARIABLE: "0.3",
        },
        host=get_node_ip_address(),
        options={"autoscaling-config": folder / "autoscaling.json"},
    )
    worker = {"resources": {"CPU": 2}, "node_config": {}, "min_workers": 0, "max_workers": 4}
    head = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
    config = {
        "cluster_name": "growing",
        "provider": {
            "type": "fake_multinode",
            "gcs_address": cluster.gcs,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "auth": {"ssh_user": "nobody"},
        "max_workers": 4,
        "upscaling_speed": 10,
        "idle_timeout_minutes": 5,
        "head_node_type": "ray.head.default",
        "available_node_types": {"ray.head.default": head, "worker": worker},
    }
    commands = ("initialization", "setup", "head_setup", "worker_setup")
    starts = ("head_start_ray", "worker_start_ray")
    config |= {f"{name}_commands": [] for name in (*commands, *starts)}
    config |= {"file_mounts": {}, "cluster_synced_files": [], "rsync_exclude": []}
    (folder / "autoscaling.json").write_text(json.dumps(config))
    try:
        cluster.start()
        yield cluster.gcs
    finally:
        cluster.end()


def test_gpus_that_leave_are_waited_for(tmp_path: Path) -> None:
    """Only before a run begins is a cluster without GPUs a mistake."""
    declared = study_from(
        {
            "name": "gpus",
            "trainable": "simulated",
            "factors": {"model": ["a"]},
            "resources": {"gpu": 1},
        }
    )
    placer = Placer(declared, find_inputs(declared))
    with pytest.raises(RunError, match="asks for GPUs, and Ray counts none"):
        placer.meet([Node("head", 4.0, 0.0)])
    placer.meet([Node("head", 4.0, 0.0), Node("worker", 4.0, 1.0)])
    placer.nodes = [Node("head", 4.0, 0.0)]
    assert placer.declared() == Share(1.0, 1.0)
