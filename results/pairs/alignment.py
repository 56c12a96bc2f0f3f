"""The first of two studies as the second names its data sizes and labels its test images."""

import pandas as pd

from results.phrases import few
from results.run import Run


def aligned(first: Run, second: Run) -> tuple[Run, str | None]:
    """Return the first study by the second's names, and which test labels the second has mended.

    Numbers of images that both state as levels are one level, whatever share of a pool. Where both
    have the same test images, labelled or ordered otherwise, the first one's predictions are scored
    by the second's labels; the text is None where that is unknown, or the metric is not accuracy.
    """
    trials, predictions = first.trials(), first.predictions()
    shares, others = _shares(first), _shares(second)
    meant = {shares[count]: others[count] for count in shares.keys() & others.keys()}
    trials["fraction"] = trials["fraction"].map(lambda share: meant.get(share, share))
    both = _images(first, second)
    is_told = first.analysis.runs["trial_id"].isin(predictions["trial_id"]).all()
    if both is None or not is_told or predictions["prediction"].isna().any():
        return first.named_in_full({"trials": trials}), None
    place = both.set_index("example").loc[predictions["example"]]
    predictions[["example", "label"]] = place[["example_new", "label_new"]].to_numpy()
    predictions["correct"] = predictions["prediction"] == predictions["label"]
    right = predictions.groupby(["trial_id", "epoch"])["correct"].mean()
    ends = pd.MultiIndex.from_frame(trials[["trial_id", "epochs_done"]])
    trials["final_test_accuracy"] = right.reindex(ends).to_numpy()
    mended = both[both["class"] != both["class_new"]]
    kinds = (mended["class"] + " → " + mended["class_new"]).value_counts()
    said = f"{len(mended)} of {len(both)} test labels were mended, and both are scored by the new"
    changes = ", ".join(few([f"{kind} {count}" for kind, count in kinds.items()]))
    run = first.named_in_full({"trials": trials, "predictions": predictions})
    return run, f"{said} ({changes})" if len(mended) else ""


def _shares(run: Run) -> dict[int, float]:
    """Return what share of its pool each number of images is that the study states as a level."""
    levels = (run.study.get("factors") or {}).get("fraction") or []
    trials = run.trials()
    own = trials[trials["n_train"].isin([n for n in levels if isinstance(n, int) and n > 1])]
    return dict(zip(own["n_train"], own["fraction"], strict=True))


def _images(first: Run, second: Run) -> pd.DataFrame | None:
    """Return the test images of both with either's place, label and class, where they are alike."""
    sides = [run.analysis.table("examples") for run in (first, second)]
    images = [set(side["image"].dropna()) for side in sides]
    names = [dict(zip(side["label"], side["class"], strict=True)) for side in sides]
    is_alike = images[0] == images[1] and all(len(side) == len(images[0]) > 0 for side in sides)
    is_named = all(names[1].get(label, name) == name for label, name in names[0].items())
    if not (is_alike and is_named and first.analysis.metric.column == "accuracy"):
        return None
    return sides[0].merge(sides[1], on="image", suffixes=("", "_new"))
