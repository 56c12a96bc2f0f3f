"""Ray Tune as its PyTorch tutorial has it: a function trainable, one CPU a trial, `grid_search`."""

import time
from functools import partial
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from training import Results, Training, parse


def train_cifar(
    config: dict[str, Any], epochs: int, options: dict[str, Any], results: Results
) -> None:
    """Train one trial and report every epoch."""
    training = Training(config, options)
    for epoch in range(1, epochs + 1):
        started = time.perf_counter()
        loss = training.train()
        accuracy = training.test()
        results.write(config, epoch, accuracy, time.perf_counter() - started)
        tune.report({"loss": loss, "accuracy": accuracy})


def main() -> None:
    """Tune over the whole grid at once."""
    arguments, grid, options = parse(__doc__)
    # `local`: Tune would join any Ray that runs on the machine.
    ray.init(address="local")
    scheduler = None
    if arguments.asha:
        scheduler = ASHAScheduler(max_t=arguments.epochs, grace_period=1, reduction_factor=2)
    train = partial(
        train_cifar, epochs=arguments.epochs, options=options, results=Results(arguments.out)
    )
    tuner = tune.Tuner(
        tune.with_resources(train, resources={"cpu": 1, "gpu": 0}),
        param_space={name: tune.grid_search(values) for name, values in grid.items()},
        tune_config=tune.TuneConfig(metric="accuracy", mode="max", scheduler=scheduler),
        run_config=tune.RunConfig(storage_path=str(arguments.out.parent.absolute() / "ray")),
    )
    print("best:", tuner.fit().get_best_result("accuracy", "max").config)


if __name__ == "__main__":
    main()
