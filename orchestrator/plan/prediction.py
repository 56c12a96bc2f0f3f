"""What a pass is expected to take, recorded at its start so that the report can hold it to that."""

import json
import math
from collections import Counter
from collections.abc import Sequence

from orchestrator.ledger.stages import Wanted
from orchestrator.placement.shares import Node, Share, places
from orchestrator.plan.durations import Durations
from orchestrator.plan.price import Forecast
from orchestrator.study.inputs import Inputs
from orchestrator.study.study import Study
from results.store.store import Store

_MOST_TRIALS = 2_000
"""Beyond, playing the pass through would keep it waiting."""


def predict(
    study: Study,
    inputs: Inputs,
    store: Store,
    durations: Durations,
    left: Sequence[tuple[Wanted, Share]],
    nodes: Sequence[Node],
    max_parallel: int | None,
) -> str | None:
    """Return what a pass is expected to take, as its environment record holds it.

    Parameters
    ----------
    study, inputs, store
        What is asked for, found and recorded.
    durations
        What is expected of trials.
    left
        Trials that are known to be left, each with what it is given.
    nodes, max_parallel
        What they are trained on, and how many at a time at most.

    Returns
    -------
    str or None
        JSON: `trials`, `epochs`, `seconds` with `low` and `high` (from the first start to the
        last epoch), `slots`, `basis` (share of the seconds by what they rest on). None where
        nothing is left or fits, of a simulation, whose time is its own, and of very many trials.
    """
    if not left or study.trainable == "simulated" or len(left) > _MOST_TRIALS:
        return None
    share = Counter(share for _, share in left).most_common(1)[0][0]
    room = sum(places(node, share) for node in nodes)
    if not room:
        # Nodes that fit may yet join the cluster; what they will be nobody knows.
        return None
    forecast = Forecast(study, inputs, store, durations, share)
    schedule = forecast.on(nodes, max_parallel=max_parallel)
    low, high, basis = forecast.band(schedule.stays)
    seconds = durations.start + schedule.makespan
    if not math.isfinite(seconds):
        return None
    return json.dumps(
        {
            "trials": len(schedule.stays),
            "epochs": sum(s.intervals - forecast.done(s.trial_id) for s in schedule.stays),
            "seconds": seconds,
            "low": seconds * low,
            "high": seconds * high,
            "slots": min(room, max_parallel or room),
            "basis": basis,
        }
    )
