"""Compare the trainer's throughput in this checkout with that in another, in turn.

Run it: python benchmarks/throughput.py OTHER_CHECKOUT [--model resnet18] [--batch 128] [--rounds 5]

The other is a folder that holds another version, such as `git worktree add ../older COMMIT` makes
one. Each round trains the model on the same digits at 32×32, cropped and mirrored, on one thread,
by either version in a process of its own: images trained on, and evaluated, per second, the medians
of four intervals. Keep the machine quiet.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

UPDATES, INTERVALS = 16, 4


def main() -> None:
    """Print each round's figures, and the ratio with its spread."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("other", type=Path, help="folder of the other version; here: this one's")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.once:
        print(*images_per_second(asked.model, asked.batch))
        return
    folders = Path(__file__).parents[1], asked.other.resolve()
    ratios: dict[str, list[float]] = {"trained": [], "evaluated": []}
    for number in range(asked.rounds):
        both = [measured(folder, asked.model, asked.batch) for folder in folders]
        for what, ours, theirs in zip(ratios, *both, strict=True):
            ratios[what].append(ours / theirs)
            print(f"round {number + 1}: {what} {ours:.0f} beside {theirs:.0f} images a second")
        sys.stdout.flush()
    for what, each in ratios.items():
        print(f"{what}: {median(each):.3f} of it ({min(each):.3f} to {max(each):.3f})")


def measured(folder: Path, model: str, batch: int) -> list[float]:
    """Return the throughput of the version in a folder, in a process of its own."""
    variables = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, __file__, str(folder), "--once", "--model", model]
    words += ["--batch", str(batch)]
    done = subprocess.run(words, env=variables, cwd=folder, check=True, capture_output=True)
    return [float(word) for word in done.stdout.split()]


def images_per_second(model: str, batch: int) -> tuple[float, float]:
    """Train with whatever version can be imported; return images trained and evaluated a second."""
    from trainables.data.dataset import inspect
    from trainables.recipe import Recipe
    from trainables.training.classifier import Classifier
    from trainables.trial import Source, Trial, Weights

    source = Source(source="digits", validation="test")
    info = inspect(source)
    steps = UPDATES * (INTERVALS + 1)
    budget = {"steps": steps, "evaluations": INTERVALS + 1, "batch_size": batch, "lr": 1e-4}
    trial = Trial(
        data=source,
        fingerprint=info.fingerprint,
        n_pool=len(info.train_labels),
        n_classes=len(info.class_names),
        model=model,
        weights=Weights(),
        fraction=1.0,
        n_train=len(info.train_labels),
        seed=0,
        recipe=Recipe(augmentation="standard", image_size=32, **budget),
    )
    learner = Classifier(trial, device="cpu")
    learner.step()
    rows = [learner.step() for _ in range(INTERVALS)]
    trained, evaluated = (
        median(row[name] for row in rows)
        for name in ("images_per_second", "evaluation_images_per_second")
    )
    return trained, evaluated


if __name__ == "__main__":
    main()
