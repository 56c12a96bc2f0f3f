"""How many trials fit where: pure arithmetic over the nodes of a cluster."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from orchestrator.errors import RunError
from orchestrator.passes import Share


@dataclass(frozen=True)
class Node:
    """What Ray may hand out on one machine."""

    host: str
    cpu: float
    gpu: float


def places(node: Node, share: Share) -> int:
    """Return how many trials with a share fit on a node at once."""
    by_cpu = math.floor(node.cpu / share.cpu + 1e-9) if share.cpu else math.inf
    if not share.gpu:
        return int(by_cpu)
    # A fraction never spans two GPUs: 1/3 fits three times on each.
    if share.gpu < 1:
        by_gpu = math.floor(node.gpu) * math.floor(1 / Fraction(share.gpu).limit_denominator(1000))
    else:
        by_gpu = math.floor(node.gpu / share.gpu + 1e-9)
    return int(min(by_cpu, by_gpu))


def slots(nodes: Sequence[Node], share: Share, max_parallel: int | None = None) -> int:
    """Return how many trials run at once.

    Raises
    ------
    RunError
        Not even one fits on any node: it would wait for ever.
    """
    count = sum(places(node, share) for node in nodes)
    if not count:
        largest = ", ".join(f"{node.host}: {node.cpu:g} CPUs, {node.gpu:g} GPUs" for node in nodes)
        wants = f"{share.cpu:g} CPUs" + (f" and {share.gpu:g} GPUs" if share.gpu else "")
        raise RunError(
            f"a trial needs {wants} on one machine, and no node has that ({largest}); "
            "change resources.cpu or resources.gpu in the study."
        )
    return min(count, max_parallel) if max_parallel else count


def larger(share: Share, nodes: Sequence[Node]) -> Share | None:
    """Return the next larger share, for a trial that ran out of memory; None at a whole machine.

    A part of a GPU grows from 1/k to 1/(k − 1). A trial without one, or with whole ones, reserves
    twice the CPUs, so that fewer run beside it; its threads, and so its numbers, stay.
    """
    if 0 < share.gpu < 1:
        k = round(1 / share.gpu)
        return Share(share.cpu, 1 / (k - 1))
    most = max((node.cpu for node in nodes if node.gpu >= share.gpu), default=0.0)
    return Share(min(most, 2 * share.cpu), share.gpu) if share.cpu < most else None
