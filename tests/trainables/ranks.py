"""One of several processes that train trials together, for the tests of `parallel`.

    python ranks.py RANK SIZE JOBS.json FOLDER

Each job leaves FOLDER/NAME-RANK.json, and a saved state as FOLDER/NAME.state.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS), str(TESTS.parents[1])]


def train(job: dict[str, Any], group: Any, folder: Path) -> dict[str, Any]:
    from digit_trials import digits

    from trainables.data import holding
    from trainables.errors import TrainableError
    from trainables.training.classifier import Classifier
    from trainables.trial import Trial

    holding.SHARE = job.get("share", holding.SHARE)
    try:
        learner = Classifier(
            Trial.model_validate(job["trial"]), device="cpu", dataset=digits(), group=group
        )
        if "load" in job:
            learner.load(Path(job["load"]))
        rows = []
        for _ in range(job["intervals"]):
            if group.rank == job.get("dies"):
                os.kill(os.getpid(), signal.SIGKILL)
            rows.append(learner.step())
        predictions = learner.predictions().classes.tolist()
    except TrainableError as error:
        return {"error": str(error)}
    if group.rank == 0:
        learner.save(folder / f"{job['name']}.state")
    state = learner.model.state_dict()
    sums = {key: values.double().sum().item() for key, values in state.items()}
    return {"rows": rows, "predictions": predictions, "sums": sums}


def main(rank: int, size: int, jobs: list[dict[str, Any]], folder: Path) -> None:
    from trainables.training.parallel import Group

    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / f"{size}.store"), size)
    group = Group(store, rank, size, torch.device("cpu"))
    for job in jobs:
        found = train(job, group, folder)
        (folder / f"{job['name']}-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(
        int(sys.argv[1]),
        int(sys.argv[2]),
        json.loads(Path(sys.argv[3]).read_text()),
        Path(sys.argv[4]),
    )
    # Past Python's own end, where a thread of gloo's aborts the process now and then.
    os._exit(0)
