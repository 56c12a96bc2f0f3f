"""Optuna with a GridSampler and `n_jobs`: an objective, and as many threads as there are CPUs."""

import time

import optuna
import torch
from training import Results, Training, parse


def main() -> None:
    """Optimise over the whole grid."""
    arguments, grid, options = parse(__doc__)
    results = Results(arguments.out)

    def objective(trial: optuna.Trial) -> float:
        config = {name: trial.suggest_categorical(name, values) for name, values in grid.items()}
        training = Training(config, options)
        for epoch in range(1, arguments.epochs + 1):
            started = time.perf_counter()
            training.train()
            accuracy = training.test()
            results.write(config, epoch, accuracy, time.perf_counter() - started)
        return accuracy

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.GridSampler(grid))
    # The grid ends the study; as many threads as torch takes for one training run.
    study.optimize(objective, n_jobs=torch.get_num_threads())
    print("best:", study.best_params)


if __name__ == "__main__":
    main()
