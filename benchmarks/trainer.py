"""Measure training and evaluation steps of the trainer's model against plain ones, on one thread.

Run it: python benchmarks/trainer.py [--model resnet18] [--batch 256] [--rounds 5]

Each round makes one step of every variant in turn; the numbers are medians over rounds of images
per second of CPU time, which a busy machine disturbs less than the clock. `plain` is torchvision's
model under torch's default Adam; `layout` adds channels-last and the fused optimizer; `trainer` is
what trials use: no dead kernel taps, and matrix products where a convolution is one.
The first loss of each variant shows that they compute the same.
"""

import argparse
import time
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.models import build_model
from trainables.taps import LiveTaps, convolution_inputs

VARIANTS = ("plain", "layout", "trainer")
CLASSES, SIDE = 10, 32


class Variant:
    """A model, its optimizer and one constant batch."""

    def __init__(self, kind: str, name: str, batch: int) -> None:
        torch.manual_seed(0)
        self.model = build_model(name, CLASSES)
        images, self.labels = torch.randn(batch, 3, SIDE, SIDE), torch.arange(batch) % CLASSES
        layout = torch.contiguous_format if kind == "plain" else torch.channels_last
        if kind == "trainer":
            LiveTaps(self.model, convolution_inputs(name, CLASSES, "standard", (SIDE, SIDE)))
        self.images = images.contiguous(memory_format=layout)
        self.model.to(memory_format=layout)
        fused = None if kind == "plain" else True
        self.optimizer = torch.optim.Adam(self.model.parameters(), fused=fused)

    def train(self) -> float:
        """Make one update; return the loss."""
        loss = F.cross_entropy(self.model.train()(self.images), self.labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    @torch.inference_mode()
    def evaluate(self) -> Tensor:
        """Return the scores of the batch."""
        scores: Tensor = self.model.eval()(self.images)
        return scores


def main() -> None:
    """Print one row per variant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    variants = {kind: Variant(kind, arguments.model, arguments.batch) for kind in VARIANTS}
    first = {kind: variant.train() for kind, variant in variants.items()}
    seconds: dict[tuple[str, str], list[float]] = {}
    for _ in range(arguments.rounds):
        for kind, variant in variants.items():
            for what, step in (("train", variant.train), ("evaluate", variant.evaluate)):
                started = time.process_time()
                step()
                seconds.setdefault((kind, what), []).append(time.process_time() - started)
    print(f"{arguments.model}, batches of {arguments.batch}, one thread")
    print("| variant | train, images/s | × plain | evaluate, images/s | × plain | first loss |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for kind in VARIANTS:
        cells = []
        for what in ("train", "evaluate"):
            mine, plain = (median(seconds[each, what]) for each in (kind, "plain"))
            cells += [f"{arguments.batch / mine:.0f}", f"{plain / mine:.2f}"]
        print(f"| {kind} | {' | '.join(cells)} | {first[kind]:.6f} |")


if __name__ == "__main__":
    main()
