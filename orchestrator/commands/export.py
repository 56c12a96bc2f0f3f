"""The command `export`: a trained model as one file, and how an image is given to it."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import results
from orchestrator.commands import usage
from orchestrator.errors import RunError, StudyError
from results.phrases import cell_key, cell_name, few, is_absent

if TYPE_CHECKING:
    from trainables.models.exported import About

_SCRIPT = """import sys
from pathlib import Path
from scalestudy import load_model
model = load_model(Path(__file__).with_name({file!r}))
name, probability = model.predict(sys.argv[1])
print(f"{{name}} {{100 * probability:.1f}} %")
"""
_RESCALING = ("googlenet", "inception_v3")


def export(
    run_folder: usage.RunFolder,
    cell: Annotated[
        str | None,
        typer.Option(metavar="LEVELS", help="Levels of the cell, such as 'resnet18 × none × 1/4'."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of which seed the model is.")] = None,
    to: Annotated[
        Path,
        typer.Option("--to", metavar="FILE", help="model.pt, model.safetensors or model.onnx."),
    ] = Path("model.pt"),
    as_json: usage.Json = False,
) -> None:
    """Write the best or the named model to a file, with all that predicting an image takes."""
    from results.store.store import Store
    from trainables.models.exported import write_model
    from trainables.models.networks import read_checkpoint
    from trainables.work.checkpoints import readable

    with usage.one_document(as_json) as document:
        run = results.open(run_folder)
        row = _chosen(run, cell, seed)
        name = f"{cell_name(row, run.factors)}, seed {row['seed']}"
        about = _about(run, row)
        kept = Store(run.path).checkpoints / row["trial_id"] / f"{row['epochs_budget']:06.0f}.state"
        if not kept.exists():
            raise RunError(
                f"{run_folder}: no state of {name} is kept (keep_checkpoints: "
                f"{run.study.get('keep_checkpoints', 'none')}). Set keep_checkpoints: last, and "
                "run the study with another --out; it is trained again there."
            )
        with readable(kept) as file:
            tensors = read_checkpoint(file)["model"]
        script = to.with_name(f"{to.stem}_predict.py")
        usage.see_own_modules()
        try:
            to.parent.mkdir(parents=True, exist_ok=True)
            write_model(to, about, tensors)
            script.write_text(_SCRIPT.format(file=to.name))
        except OSError as error:
            raise RunError(f"{to} cannot be written ({error.strerror or error}).") from error
        document.update(about.model_dump(mode="json"), file=str(to), script=str(script))
    if not as_json:
        said = "" if about.accuracy is None else f", {100 * about.accuracy:.1f} % on test"
        typer.echo(f"{to}: {name}{said}\npython {script} IMAGE")


def _chosen(run: "results.Run", cell: str | None, seed: int | None) -> dict[str, Any]:
    """Return the compared run of the best cell that has these levels, of its seeds the best."""
    from results.analysis.runs import records_of, where

    asked = {word.strip() for word in re.split("[×,]", cell or "")} - {""}
    metric, cells = run.analysis.metric, records_of(run.analysis.ranked)
    runs = run.trials(compared=True)
    runs = runs.assign(validated=metric.of(runs, "final_val"))
    for row in cells:
        # Analyses write models in short, which tables name in full.
        of_cell = where(run.analysis.runs, {name: row[name] for name in run.factors}).index
        own = [each for each in records_of(runs.loc[of_cell]) if seed in (None, each["seed"])]
        if own and asked <= {*cell_key(row, run.factors), *cell_key(own[0], run.factors)}:
            # By validation: the test set has chosen nothing.
            return min(own, key=lambda each: metric.rank(each["validated"]))
    known = ", ".join(few([cell_name(row, run.factors) for row in cells])) or "none"
    wanted = " with ".join(filter(None, (cell, None if seed is None else f"seed {seed}")))
    raise StudyError(f"{run.path}: no completed run of {wanted or 'any cell'}; cells are {known}.")


def _about(run: "results.Run", row: dict[str, Any]) -> "About":
    from trainables.data.dataset import stays
    from trainables.models.exported import About
    from trainables.models.published import member_of, published_digest, weights_names
    from trainables.trial import Channels

    read, source = run.analysis.inventory, run.study.get("data") or {}
    if run.study.get("trainable") != "classifier" or not read.get("classes"):
        raise RunError(f"{run.path}: only image classifiers are exported, of recorded classes.")

    names = ("image_height", "image_width")
    sides: Any = tuple(int(row[name]) for name in names if not is_absent(row[name]))
    own: Any = tuple(read.get("sides") or ())
    goal = sides or own
    published = [
        published_digest(member_of(row["model"], name)) for name in weights_names(row["model"])
    ]
    mean, std = (json.loads(row[f"normalization_{name}"]) for name in ("mean", "std"))
    return About(
        model=row["model"],
        stem="standard" if is_absent(row["stem"]) else row["stem"],
        classes=tuple(read["classes"]),
        normalization=Channels(mean=mean, std=std),
        image_size=goal,
        decoded_size=own if own and stays(own, goal) else goal,
        fit=source.get("fit", "crop"),
        background=source.get("background", "white"),
        range=source.get("range"),
        bits=read.get("bits"),
        rescaled=row["model"] in _RESCALING and row["weights_hash"] in published,
        accuracy=row["final_test_accuracy"],
        trial_id=row["trial_id"],
        study=run.name,
    )
