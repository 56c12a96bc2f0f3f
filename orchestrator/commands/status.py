"""The command `status`: how far a run is, from its records alone."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.commands.usage import Dashboard, Json, RunOrJob, one_document

if TYPE_CHECKING:
    from orchestrator.jobs.fetching import Opened
    from orchestrator.screen.snapshot import Snapshot

_LOOK_SECONDS = 1.0


def status(
    run_folder: RunOrJob,
    address: Dashboard = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on showing it until the run ends.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show how far a run is; also from another terminal, while it runs, and of a job."""
    from orchestrator.jobs.fetching import opened
    from orchestrator.screen.snapshot import snapshot
    from results.store.store import Store

    if watch and as_json:
        raise typer.BadParameter("--watch and --json do not go together: leave one out.")
    with one_document(as_json) as document, opened(run_folder, address) as run:
        shot = snapshot(Store(run.folder))
        standing, said = run.standing()
        document.update(_document(shot), **standing)
        if as_json:
            return
        if watch and standing["running"]:
            _follow(run)
            _, said = run.standing()
        else:
            _print(shot)
        typer.echo(said)


def _follow(run: "Opened") -> None:
    from orchestrator.screen.progress import make_progress
    from results.store.store import Store

    show, store = make_progress(), Store(run.folder)
    show.start(store)
    try:
        while run.is_at_work():
            time.sleep(_LOOK_SECONDS)
            run.refresh()
            show.update(store)
    except KeyboardInterrupt:
        # Only the looking ends.
        pass
    finally:
        show.stop(store)


def _print(shot: "Snapshot") -> None:
    from rich.console import Console

    from orchestrator.screen.picture import Picture

    Console(highlight=False).print(Picture(shot))


def _document(shot: "Snapshot") -> dict[str, Any]:
    view = shot.view
    return {
        "name": shot.name,
        "trials": view.counts(),
        "share_done": view.share_done,
        "seconds_left": shot.seconds_left,
        "slots_busy": shot.slots_busy,
        "epochs": {
            "done": view.total("epochs_done"),
            "asked": view.total("epochs_asked"),
            "saved": view.total("saved"),
        },
        "cells": [
            {
                "cell": " × ".join(key),
                "state": cell.state,
                "trials": cell.counts,
                "val_accuracy": cell.accuracy,
                "best_val_accuracy": cell.best,
                "errors": cell.errors,
            }
            for key, cell in view.cells.items()
        ],
        "slots": [
            {
                "slot": slot.slot,
                "trial": slot.trial,
                "epochs_done": slot.epochs_done,
                "epochs_budget": slot.epochs_budget,
                "val_accuracy": slot.val_accuracy,
                "images_per_second": slot.images_per_second,
                "memory_bytes": slot.memory_bytes,
            }
            for slot in shot.slots
        ],
    }
