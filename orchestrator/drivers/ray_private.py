"""What of Ray's private names is used here: all of it, so that one test says which has gone."""

from typing import Any

LOOPBACK = "127.0.0.1"


class _Fixed(list[str]):
    """A list that stays as it is."""

    def extend(self, places: Any) -> None:
        pass


def job_config() -> Any:
    """Return what keeps Ray from putting the working folder first on its workers' search path."""
    from ray.job_config import JobConfig

    config = JobConfig()
    config._py_driver_sys_path = _Fixed()
    return config


def free_resources() -> dict[str, dict[str, float]]:
    """Return the amounts that nobody holds, by node id."""
    from ray._private.state import available_resources_per_node

    amounts: dict[str, dict[str, float]] = available_resources_per_node()
    return amounts


def silence_workers() -> None:
    """Keep what dying workers say out of the terminal, whatever `log_to_driver` says."""
    import ray._private.worker as worker

    worker.print_to_stdstream = lambda *_, **__: None


def init_on_loopback(init: Any, folder: str, **options: Any) -> None:
    """Call `ray.init` so that all that it starts listens to this machine alone, and writes here."""
    from ray._private import services

    known = services.get_node_ip_address
    # Ray takes a loopback address that is asked for as the wish for one that others reach.
    services.get_node_ip_address = lambda *_, **__: LOOPBACK
    try:
        init(_node_ip_address=LOOPBACK, _temp_dir=folder, **options)
    finally:
        services.get_node_ip_address = known
