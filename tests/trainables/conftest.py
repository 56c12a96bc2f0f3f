"""One thread, as a trial has: more of them only wait for each other on a busy machine."""

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
