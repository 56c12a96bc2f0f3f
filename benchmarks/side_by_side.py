"""Train the same study with scalestudy and with three peers, in turn, and compare.

python benchmarks/side_by_side.py ../shared/data [--part time] [--rounds 3] [--out FOLDER]
    the folder holds CIFAR-10 as Parquet: cifar10-train.parquet and cifar10-test.parquet
python benchmarks/side_by_side.py --quick
    made-up images, one round, about a minute: shows that it runs and no more

Part `time` trains every cell once, part `search` eight recipes in every cell. "scalestudy, test at
the end" evaluates the test set after the last epoch alone and validates on images of its own, 500
or 1000, with as many training images in each cell as the peers. A round runs every program once,
each in a process of its own, with a seed of its own. Every measurement is written at once, to a
Parquet file under `--out`; those that are there with the same settings are not made again, so that
the command can be interrupted and called again. Decoding images is counted for nobody: the peers
find an array, scalestudy its cache.
"""

import argparse
import hashlib
import io
import json
import os
import signal
import sys
import tempfile
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from comparison import OURS, table
from overhead import use_of_slots
from PIL import Image
from processes import compile_packages, measure

import results
from trainables.data.cache import FOLDER_VARIABLE
from trainables.data.dataset import decode_size, inspect, open_dataset
from trainables.data.splits import share_to_count
from trainables.training.device import resolve_precision
from trainables.trial import Source

HERE = Path(__file__).parent
ONE = {"lr": [1e-3], "batch_size": [256], "optimizer": ["adam"]}
EIGHT = {"lr": [1e-3, 1e-4], "batch_size": [256, 32], "optimizer": ["adam", "sgd"]}
PEERS = ("notebook", "ray_tune", "optuna_study")
_, AT_END = OURS
PROGRAMS = {
    "time": ("scalestudy", AT_END, *PEERS, *(f"{peer} by hand" for peer in PEERS)),
    # Whole grids by both, for the regret: scalestudy's own are of the very same trials.
    "search": ("scalestudy", AT_END, *PEERS, *(f"{each}, whole grid" for each in OURS)),
}
VALIDATION = {"time": 500, "search": 1000}
"""Images that "test at the end" validates on, a tenth of the training images at most."""
QUICK_IMAGES = {"train": 256, "test": 64}
COLUMNS = ["model", "fraction", "lr", "batch_size", "optimizer", "epoch", "accuracy"]


@dataclass(frozen=True)
class Settings:
    """What is trained. All that a measurement is known by."""

    part: str
    models: tuple[str, ...]
    fractions: tuple[str, ...]
    epochs: int
    data: str
    """Fingerprint."""
    cpus: int

    @property
    def recipes(self) -> dict[str, list[Any]]:
        """Values of each field, all combinations of which are trained."""
        return ONE if self.part == "time" else EIGHT


def main() -> None:
    """Measure what is not there yet, and print the table after each measurement."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--part", choices=sorted(PROGRAMS), nargs="+", default=["time"])
    parser.add_argument("--programs", nargs="+", help="only these")
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet50"])
    parser.add_argument("--fractions", nargs="+", default=["1/64", "1/16", "1/4"])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/side_by_side"))
    arguments = parser.parse_args()
    # What is being measured ends with this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not arguments.quick and not arguments.data:
        parser.error("name the folder of the data, or --quick")
    compile_packages()
    with tempfile.TemporaryDirectory(prefix="side-by-side-") as scratch:
        folder = _made_up(Path(scratch)) if arguments.quick else arguments.data
        if arguments.quick:
            arguments.models, arguments.fractions = ["resnet18"], ["1/4", "1"]
            arguments.epochs, arguments.rounds = 1, 1
            arguments.programs = arguments.programs or [*OURS, *PEERS]
            os.environ[FOLDER_VARIABLE] = str(Path(scratch) / "cache")
        source, fingerprint = _prepare(folder, Path(scratch))
        for part in arguments.part:
            settings = Settings(
                part,
                tuple(arguments.models),
                tuple(arguments.fractions),
                arguments.epochs,
                fingerprint,
                len(os.sched_getaffinity(0)),
            )
            for round_ in range(arguments.rounds):
                for program in arguments.programs or PROGRAMS[part]:
                    _measured(settings, program, round_, source, Path(scratch), arguments.out)
            print(table(_read(arguments.out, settings), part), flush=True)


def _prepare(folder: Path, scratch: Path) -> tuple[Source, str]:
    """Decode the images for both sides; return the study's source and the data's fingerprint."""
    files = {part: folder.absolute() / f"cifar10-{part}.parquet" for part in ("train", "test")}
    source = Source(source="parquet", path=files, validation="test")
    fingerprint = inspect(source).fingerprint
    dataset = open_dataset(source, fingerprint, decode_size(source, None))
    for part, split in (("train", dataset.train), ("test", dataset.test)):
        np.savez(scratch / f"{part}.npz", images=split.images, labels=split.labels)
    return source, fingerprint


def _measured(
    settings: Settings, program: str, round_: int, source: Source, scratch: Path, out: Path
) -> None:
    """Make one measurement, unless it is there."""
    known = {**asdict(settings), "program": program, "round": round_}
    text = json.dumps(known, sort_keys=True)
    file = out / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.parquet"
    if file.exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as place:
        work = Path(place)
        make = _study if program.startswith("scalestudy") else _peer
        command, read = make(settings, program, round_, source, scratch, work)
        print(f"round {round_ + 1}, {settings.part}: {program} …", flush=True)
        try:
            cost = measure(command, work / "log", {"RAY_USAGE_STATS_ENABLED": "0"})
        except RuntimeError as error:
            if program.startswith("scalestudy"):
                raise
            # Optuna's threads fork loaders, which may find a lock held for ever.
            print(f"    not measured: {error}", flush=True)
            return
        rows = read()
    print(f"    {cost.seconds:.0f} s, load before {cost.load:.1f}", flush=True)
    rows = rows.assign(**asdict(cost), program=program, round=round_, settings=text)
    part = file.with_suffix(".part")
    rows.to_parquet(part)
    part.rename(file)


def _peer(
    settings: Settings, program: str, round_: int, source: Source, scratch: Path, work: Path
) -> tuple[list[str], Any]:
    peer, _, by_hand = program.partition(" ")
    lines = work / "epochs.jsonl"
    command = [sys.executable, str(HERE / "peers" / f"{peer}.py"), "--data", str(scratch)]
    command += ["--out", str(lines), "--seed", str(round_), "--epochs", str(settings.epochs)]
    command += ["--models", *settings.models, "--fractions", *settings.fractions]
    for field, values in settings.recipes.items():
        command += [f"--{field.replace('_', '-')}", *map(str, values)]
    if by_hand:
        command.append("--channels-last")
        if resolve_precision("auto", torch.device("cpu")) == "bf16":
            command.append("--bf16")
    if peer == "ray_tune" and settings.part == "search":
        command.append("--asha")

    def read() -> pd.DataFrame:
        return pd.read_json(lines, lines=True, dtype={"fraction": str})[COLUMNS]

    return command, read


def _study(
    settings: Settings, program: str, round_: int, source: Source, scratch: Path, work: Path
) -> tuple[list[str], Any]:
    is_at_end = program.startswith(AT_END)
    n_train = len(np.load(scratch / "train.npz")["labels"])
    held_out = min(VALIDATION[settings.part], n_train // 10)
    # As many as the peers train on, as far as validation leaves them.
    sizes = [share_to_count(float(Fraction(share)), n_train) for share in settings.fractions]
    sizes = [min(size, n_train - held_out) if is_at_end else size for size in sizes]
    shares = [int(share) if share.isdigit() else share for share in settings.fractions]
    study: dict[str, Any] = {
        "name": "side-by-side",
        "data": {
            "source": "parquet",
            "path": {part: str(file) for part, file in source.path.items()},
            "validation": held_out if is_at_end else "test",
        },
        "factors": {
            "model": list(settings.models),
            "weights": ["none"],
            "fraction": sizes if is_at_end else shares,
        },
        "recipe": {"epochs": settings.epochs, "augmentation": "standard"},
        "seeds": [round_],
    }
    if is_at_end:
        study["test"] = "final"
    if settings.part == "time":
        study["recipe"] |= {field: values[0] for field, values in settings.recipes.items()}
    else:
        study["search"] = {**settings.recipes}
        if "whole grid" in program:
            study["early_stopping"] = "none"
        # As the peers do, so that each trains eight trials in every cell.
        study["search"]["seed"] = round_
    file, run = work / "study.yaml", work / "run"
    file.write_text(yaml.safe_dump(study))
    command = [sys.executable, "-m", "orchestrator", "run", str(file), "--out", str(run)]

    def read() -> pd.DataFrame:
        opened = results.open(run)
        labels = dict(zip(sizes, settings.fractions, strict=True))
        epochs = opened.epochs()
        trials = opened.trials()
        chosen = set(trials[trials.measured].trial_id)
        epochs = epochs.assign(
            fraction=epochs.n_train.map(labels),
            accuracy=epochs.test_accuracy,  # null where it was not evaluated
        )
        return epochs[COLUMNS].assign(chosen=epochs.trial_id.isin(chosen), **use_of_slots(trials))

    return command, read


def _read(out: Path, settings: Settings) -> pd.DataFrame:
    """Return all measurements with these settings."""
    frames = [pd.read_parquet(file) for file in sorted(out.glob("*.parquet"))]
    rows = pd.concat(frames, ignore_index=True)
    mine = json.loads(json.dumps(asdict(settings)))
    known = {text: json.loads(text) for text in rows.settings.unique()}
    same = {text for text, each in known.items() if mine.items() <= each.items()}
    return rows[rows.settings.isin(same)]


def _made_up(folder: Path) -> Path:
    """Write a small data set whose classes are colours, in CIFAR-10's shape."""
    generator = np.random.default_rng(0)
    colours = generator.integers(0, 256, (10, 3))
    for part, n in QUICK_IMAGES.items():
        labels = np.arange(n) % 10
        noise = generator.integers(-40, 40, (n, 32, 32, 3))
        pixels = np.clip(colours[labels][:, None, None] + noise, 0, 255).astype(np.uint8)
        images = [{"bytes": _png(image), "path": None} for image in pixels]
        pq.write_table(
            pa.table({"img": images, "label": labels}), folder / f"cifar10-{part}.parquet"
        )
    return folder


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


if __name__ == "__main__":
    main()
