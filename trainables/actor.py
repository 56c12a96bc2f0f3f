"""The one place where a trial meets Ray: a reusable Tune trainable around a job."""

from typing import Any

from ray import tune
from ray.tune import PlacementGroupFactory

from trainables.job import METRIC, Job, Task


class Actor(tune.Trainable):  # type: ignore[misc]
    """Carries out one job after another in one worker process."""

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> PlacementGroupFactory:
        """Return one bundle with the CPUs and GPUs that the config asks for."""
        bundle = {"CPU": config["cpu"]}
        return PlacementGroupFactory([bundle | ({"GPU": config["gpu"]} if config["gpu"] else {})])

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first job."""
        self._job: Job | None = Job(Task.unpack(config["task"]))

    def reset_config(self, config: dict[str, Any]) -> bool:
        """Take another job; nothing of the last one is carried over."""
        # The last job's memory is given back before the next one takes its own.
        self._job = None
        self.setup(config)
        return True

    def step(self) -> dict[str, Any]:
        """Return the next result of the job, under `report`."""
        if self._job is None:
            raise RuntimeError("the worker was asked to train after it was cleaned up")
        result = self._job.step()
        # Tune keeps statistics of every number in a result for as long as it runs; in a list it
        # looks for none.
        return {"report": [result], METRIC: result[METRIC]}

    def cleanup(self) -> None:
        """Give the job's memory back."""
        self._job = None
