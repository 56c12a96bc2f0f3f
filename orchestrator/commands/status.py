"""The commands `status` and `clean`: how far a run is, and what it left that nothing needs."""

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.commands import usage
from orchestrator.errors import StudyError
from results.phrases import byte_size

if TYPE_CHECKING:
    from results.store.objects import Location
    from results.store.store import Store

_LOOK_SECONDS = 1.0


def status(
    run_folder: usage.RunOrJob,
    address: usage.Dashboard = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on showing it until the run ends.")
    ] = False,
    as_json: usage.Json = False,
) -> None:
    """Show how far a run is; also from another terminal, while it runs, and of a job."""
    from orchestrator.jobs.fetching import opened
    from orchestrator.screen.picture import Picture, make_progress, say
    from orchestrator.screen.snapshot import snapshot
    from results.store.store import Store

    if watch and as_json:
        raise typer.BadParameter("--watch and --json do not go together: leave one out.")
    with usage.one_document(as_json) as document, opened(run_folder, address) as run:
        store = Store(run.folder)
        standing, said = run.standing()
        shot = snapshot(store, at_work=standing["running"])
        total, name = shot.total, f"val_{shot.metric.column}"
        document.update(
            name=shot.name,
            trials=total.counts,
            share_done=total.share_done,
            seconds_left=shot.seconds_left,
            epochs={"done": total.epochs_done, "asked": total.epochs_asked, "saved": total.saved},
            cells=[
                {
                    "cell": cell.name,
                    "state": cell.state,
                    "trials": cell.counts,
                    name: cell.value,
                    f"best_{name}": cell.best,
                    "errors": cell.errors,
                }
                for cell in shot.cells
            ],
            slots=[
                {name if key == "value" else key: value for key, value in asdict(slot).items()}
                for slot in shot.slots
            ],
            **standing,
        )
        passes = store.read("environments", ["ended_by", "ended_at"]).to_pylist()
        last: dict[str, Any] = passes[-1] if passes and not standing["running"] else {}
        if last.get("ended_by"):
            last["ended_at"] = last["ended_at"].isoformat(sep=" ", timespec="seconds")
            said += f"; the last was ended by {last['ended_by']} at {last['ended_at']}"
            document.update(last)
        usage.say_problems(store.problems(), document, as_json)
        if as_json:
            return
        if watch and standing["running"]:
            show = make_progress()
            show.start(store)
            try:
                while run.is_at_work():
                    time.sleep(_LOOK_SECONDS)
                    run.refresh()
                    show.update(store)
            except KeyboardInterrupt:
                pass  # Only the looking ends.
            finally:
                show.stop(store)
            _, said = run.standing()
        else:
            say(Picture(shot), wrapped=True)
        typer.echo(said)


def clean(
    run_folder: usage.RunFolder,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    as_json: usage.Json = False,
) -> None:
    """Say what a run directory holds that nothing needs any more, and remove it."""
    from orchestrator.run.lock import held
    from results.store.files import remove, size
    from results.store.store import Store

    with usage.one_document(as_json) as document:
        store = Store(run_folder)
        found = leftovers(store)
        sizes = {path: size(path) for path in found}
        if not as_json:
            for path, reason in found.items():
                typer.echo(f"{path}  {byte_size(sizes[path])}  {reason}")
            typer.echo(f"{len(found)} items, {byte_size(sum(sizes.values()))} in all")
        if found and not yes and not as_json:
            if not sys.stdin.isatty():
                asks = "clean asks before it removes anything; without a terminal, add --yes."
                raise StudyError(asks)
            yes = typer.confirm("Remove them?")
        if found and yes:
            with held(store.lock):
                for path in found:
                    remove(path)
            document["removed"] = True
        document["items"] = [
            {"path": path, "bytes": sizes[path], "reason": reason} for path, reason in found.items()
        ]


def leftovers(store: "Store") -> "dict[Location, str]":
    """Return what of a run directory may go, with the reason why nothing will ever need it again.

    Records, the report, and checkpoints that the study keeps are never among it. Raises StoreError
    where there is no run directory.
    """
    from results.records import Status
    from trainables.trial import SHARED_STATES

    trials = {row["trial_id"]: row for row in store.read("trials").to_pylist()}
    keep = store.study().get("keep_checkpoints", "none")
    found: dict[Location, str] = {}
    for folder in store.checkpoints.glob("*"):
        row = trials.get(folder.name)
        if folder.name.startswith(SHARED_STATES) and keep != "none":
            continue
        if row is None or not row["wanted"]:
            found[folder] = "the study as last run does not ask for the trial any more"
        elif keep == "none" and (end := Status(row["status"])).is_final and end != Status.FAILED:
            found[folder] = "the trial has ended"
    found |= dict.fromkeys(store.damaged.glob("*"), "a damaged part that was set aside")
    scrap = "left of what was being written when a process was killed, or replaced since"
    found |= dict.fromkeys(store.scraps(), scrap)
    return {path: found[path] for path in sorted(found, key=str)}
