"""A small slow net that notes each of its updates, named by tests as `counted:net`."""

import os
import time

from faulty import mark
from torch import Tensor, nn

BATCH = 8


class Counted(nn.Sequential):
    """Layers; in training on batches of 8, each pass takes a while and is noted with its process.

    So is the node, where a worker of Ray runs it.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training and len(inputs) == BATCH and inputs.device.type != "meta":
            time.sleep(0.05)
            with mark("updates").open("a") as file:
                file.write(f"{os.getpid()} {_node()}\n")
        return super().forward(inputs)


def net(n_classes: int) -> nn.Module:
    """Return a net with batch norm and dropout."""
    layers = [nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(2)]
    return Counted(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(32, n_classes))


def _node() -> str:
    import ray

    return ray.get_runtime_context().get_node_id() if ray.is_initialized() else "here"
