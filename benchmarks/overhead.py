"""Measure what a trial costs that trains nothing, beside bare Ray Tune, and how busy slots are.

python benchmarks/overhead.py [--trials 1000] [--rounds 3]
    scalestudy's simulated trials of one epoch, and Ray Tune's own with reused actors and its
    cheapest settings; in turn, each in a process of its own. From the start of the pass to its
    end, Ray started before.
python benchmarks/overhead.py --busy RUN_DIRECTORY
    the slots' time that trials held and trained in a real study, and its length beside the bound
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pandas as pd

import results

CPUS = 2
CHEAPEST = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_SYNCER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # One waiting trial more than there are places keeps actors alive to be reused.
    "TUNE_MAX_PENDING_TRIALS_PG": str(CPUS + 1),
}

Times = tuple[float, float]
"""Seconds, and CPU seconds of the driver."""


def bare(trials: int) -> Times:
    """Return what bare Tune takes for trials of one result each."""
    os.environ.update(CHEAPEST)
    import ray
    from ray import tune

    class Nothing(tune.Trainable):
        def setup(self, config: dict) -> None:
            pass

        def step(self) -> dict:
            return {"score": 0.5, "done": True}

        def reset_config(self, config: dict) -> bool:
            return True

    _start(ray)
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(Nothing, {"cpu": 1}),
            param_space={"x": tune.grid_search(list(range(trials)))},
            tune_config=tune.TuneConfig(metric="score", mode="max", reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=folder,
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        return _timed(tuner.fit)


def ours(trials: int) -> Times:
    """Return what the same takes with scalestudy, whose rows are all on disk at the end."""
    import orchestrator.drivers.tuner as engine
    from orchestrator import load_study, run_study
    from orchestrator.drivers.connection import _ray

    ray = _ray()
    _start(ray)
    taken = []
    train = engine.train

    def timed(*given: object, **named: object) -> None:
        taken.append(_timed(lambda: train(*given, **named)))

    engine.train = timed
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "study.yaml"
        study = {
            "name": "nothing",
            "trainable": "simulated",
            "factors": {"model": [f"m{n}" for n in range(trials // 10)], "fraction": [1]},
            "recipe": {"epochs": 1},
            "seeds": list(range(10)),
        }
        file.write_text(json.dumps(study))
        summary = run_study(load_study(file), Path(folder) / "run")
        if summary.counts != {"completed": trials}:
            raise RuntimeError(f"not all trials are complete: {summary.counts}")
    return taken[0]


def _timed(work: Callable[[], object]) -> Times:
    started, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - cpu


def _start(ray: object) -> None:
    ray.init(  # type: ignore[attr-defined]
        address="local",
        num_cpus=CPUS,
        include_dashboard=False,
        object_store_memory=2**28,
        log_to_driver=False,
        logging_level="ERROR",
    )


def use_of_slots(trials: pd.DataFrame) -> dict[str, float]:
    """Return how a study used its slots.

    Returns
    -------
    dict
        `held`: share of the slots' time from first start to last end that trials held; `trained`:
        that they trained and evaluated; `length`: the time over max(longest trial, work/slots).
    """
    done = trials[trials.started_at.notna() & trials.ended_at.notna()]
    span = (done.ended_at.max() - done.started_at.min()).total_seconds()
    slots = len(done[["host", "slot"]].drop_duplicates())
    held = (done.ended_at - done.started_at).dt.total_seconds()
    return {
        "held": held.sum() / (span * slots),
        "trained": done.seconds.sum() / (span * slots),
        "length": span / max(held.max(), held.sum() / slots),
    }


def busy(run_directory: Path) -> None:
    """Print how a study used its slots."""
    use = use_of_slots(results.open(run_directory).trials())
    print(f"held by trials: {100 * use['held']:.1f} % of the slots' time")
    print(f"training and evaluating: {100 * use['trained']:.1f} %")
    print(f"length over max(longest trial, work/slots): {use['length']:.3f}")


def main() -> None:
    """Print one row for each side, and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=Path, metavar="RUN_DIRECTORY")
    parser.add_argument("--only", choices=("bare", "scalestudy"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.busy:
        busy(arguments.busy)
        return
    if arguments.only:
        side = bare if arguments.only == "bare" else ours
        print("seconds", *side(arguments.trials))
        return
    taken: dict[str, list[Times]] = {"bare": [], "scalestudy": []}
    for _ in range(arguments.rounds):
        for side, times in taken.items():
            command = [sys.executable, __file__, "--only", side, "--trials", str(arguments.trials)]
            done = subprocess.run(command, capture_output=True, text=True)
            lines = [line for line in done.stdout.splitlines() if line.startswith("seconds ")]
            if done.returncode or not lines:
                raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}\n{done.stderr}")
            seconds, cpu = map(float, lines[-1].split()[1:])
            times.append((seconds, cpu))
            load = os.getloadavg()[0]
            print(f"{side}: {seconds:.1f} s, {cpu:.1f} s of CPU, load {load:.1f}", flush=True)
    print("| side | ms per trial | lowest to highest | CPU ms of the driver per trial |")
    print("| --- | ---: | ---: | ---: |")
    for side, times in taken.items():
        each, cpu = ([1000 * t[k] / arguments.trials for t in times] for k in (0, 1))
        span = f"{min(each):.1f} to {max(each):.1f}"
        print(f"| {side} | {median(each):.1f} | {span} | {median(cpu):.1f} |")
    for kind, name in enumerate(("ratio", "ratio of CPU")):
        both = zip(taken["scalestudy"], taken["bare"], strict=True)
        ratios = [mine[kind] / other[kind] for mine, other in both]
        print(f"{name} {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
