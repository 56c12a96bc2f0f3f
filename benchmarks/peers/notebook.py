"""The notebook loop: one training run after another, each with all of the machine."""

import time

from training import Results, Training, combinations, parse


def main() -> None:
    """Train every combination."""
    arguments, grid, options = parse(__doc__)
    results = Results(arguments.out)
    for config in combinations(grid):
        training = Training(config, options)
        for epoch in range(1, arguments.epochs + 1):
            started = time.perf_counter()
            loss = training.train()
            accuracy = training.test()
            results.write(config, epoch, accuracy, time.perf_counter() - started)
            print(config, f"epoch {epoch}: loss {loss:.3f}, accuracy {accuracy:.3f}", flush=True)


if __name__ == "__main__":
    main()
