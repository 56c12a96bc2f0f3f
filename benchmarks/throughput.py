"""Compare the trainer's throughput in this checkout with that in another, in turn.

Run it: python benchmarks/throughput.py OTHER_CHECKOUT [--rounds 5]

The other is a folder that holds another version, such as `git worktree add ../older COMMIT` makes
one. Each round trains ResNet-18 on the same digits at 32×32, batches of 128, cropped and mirrored,
on one thread, by either version in a process of its own: images trained on per second, the median
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
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.once:
        print(images_per_second())
        return
    here, ratios = Path(__file__).parents[1], []
    for number in range(asked.rounds):
        ours, theirs = (measured(folder) for folder in (here, asked.other.resolve()))
        ratios.append(ours / theirs)
        print(f"round {number + 1}: {ours:.0f} beside {theirs:.0f} images a second", flush=True)
    print(f"{median(ratios):.3f} of it ({min(ratios):.3f} to {max(ratios):.3f})")


def measured(folder: Path) -> float:
    """Return the throughput of the version in a folder, in a process of its own."""
    variables = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, __file__, str(folder), "--once"]
    done = subprocess.run(words, env=variables, cwd=folder, check=True, capture_output=True)
    return float(done.stdout)


def images_per_second() -> float:
    """Train with whatever version can be imported; return images per second."""
    from trainables.data.dataset import inspect
    from trainables.recipe import Recipe
    from trainables.training.classifier import Classifier
    from trainables.trial import Source, Trial, Weights

    source = Source(source="digits", validation="test")
    info = inspect(source)
    steps = UPDATES * (INTERVALS + 1)
    budget = {"steps": steps, "evaluations": INTERVALS + 1, "batch_size": 128, "lr": 1e-4}
    trial = Trial(
        data=source,
        fingerprint=info.fingerprint,
        n_pool=len(info.train_labels),
        n_classes=len(info.class_names),
        model="resnet18",
        weights=Weights(),
        fraction=1.0,
        n_train=len(info.train_labels),
        seed=0,
        recipe=Recipe(augmentation="standard", image_size=32, **budget),
    )
    learner = Classifier(trial, device="cpu")
    learner.step()
    return median(learner.step()["images_per_second"] for _ in range(INTERVALS))


if __name__ == "__main__":
    main()
