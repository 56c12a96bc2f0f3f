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
from pathlib import Path
from statistics import median

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


def bare(trials: int) -> float:
    """Return the seconds that bare Tune takes for trials of one result each."""
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
        started = time.perf_counter()
        tuner.fit()
        return time.perf_counter() - started


def ours(trials: int) -> float:
    """Return the seconds of the same with scalestudy, whose rows are all on disk at the end."""
    import orchestrator.engine as engine
    from orchestrator import load_study, run_study
    from orchestrator.connection import _prepare

    _prepare()
    import ray

    _start(ray)
    taken = []
    train = engine.train

    def timed(*given: object, **named: object) -> None:
        started = time.perf_counter()
        train(*given, **named)  # type: ignore[arg-type]
        taken.append(time.perf_counter() - started)

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


def _start(ray: object) -> None:
    ray.init(  # type: ignore[attr-defined]
        address="local",
        num_cpus=CPUS,
        include_dashboard=False,
        object_store_memory=2**28,
        log_to_driver=False,
        logging_level="ERROR",
    )


def busy(run_directory: Path) -> None:
    """Print how a study used its slots."""
    import pandas as pd

    import results

    trials = results.open(run_directory).trials()
    trials = trials[trials.started_at.notna() & trials.ended_at.notna()]
    span = (trials.ended_at.max() - trials.started_at.min()).total_seconds()
    slots = len(trials[["host", "slot"]].drop_duplicates())
    held = (trials.ended_at - trials.started_at).dt.total_seconds()
    bound = max(held.max(), held.sum() / slots)
    rows = {
        "trials": f"{len(trials)} on {slots} slots",
        "first start to last end": f"{span:.1f} s",
        "held by trials": f"{100 * held.sum() / (span * slots):.1f} %",
        "training and evaluating": f"{100 * trials.seconds.sum() / (span * slots):.1f} %",
        "length over max(longest trial, work/slots)": f"{span / bound:.3f}",
    }
    print(pd.Series(rows).to_markdown() if _has_tabulate() else pd.Series(rows).to_string())


def _has_tabulate() -> bool:
    from importlib.util import find_spec

    return find_spec("tabulate") is not None


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
        print(f"seconds {side(arguments.trials)}")
        return
    taken: dict[str, list[float]] = {"bare": [], "scalestudy": []}
    for _ in range(arguments.rounds):
        for side, seconds in taken.items():
            command = [sys.executable, __file__, "--only", side, "--trials", str(arguments.trials)]
            done = subprocess.run(command, capture_output=True, text=True)
            lines = [line for line in done.stdout.splitlines() if line.startswith("seconds ")]
            if done.returncode or not lines:
                raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}\n{done.stderr}")
            seconds.append(float(lines[-1].split()[1]))
            print(f"{side}: {seconds[-1]:.1f} s, load {os.getloadavg()[0]:.1f}", flush=True)
    print("| side | ms per trial | lowest to highest |\n| --- | ---: | ---: |")
    for side, seconds in taken.items():
        each = [1000 * s / arguments.trials for s in seconds]
        print(f"| {side} | {median(each):.1f} | {min(each):.1f} to {max(each):.1f} |")
    ratios = [a / b for a, b in zip(taken["scalestudy"], taken["bare"], strict=True)]
    print(f"ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
