import numpy as np
import pandas as pd
from sample import Plan, write

import results
from results.report.sections import gallery_of


def opened(tmp_path, wrong):
    """Return a run of two models at two sizes whose test images 0 to 9 are wrong as is said."""
    plan = Plan(models=("a", "b"), weights=("none",), fractions=(0.5, 1.0), seeds=(0, 1))
    root = write(tmp_path / "run", plan, np.random.default_rng(0))
    trials = pd.read_parquet(root / "trials")
    for file in (root / "predictions").glob("*.parquet"):
        file.unlink()
    rows = [
        (row.trial_id, row.epochs_done, image, image % 2, not wrong(row, image))
        for row in trials.itertuples()
        for image in range(10)
    ]
    frame = pd.DataFrame(rows, columns=["trial_id", "epoch", "example", "label", "correct"])
    frame["prediction"] = np.where(frame["correct"], frame["label"], 1 - frame["label"])
    return root, trials, frame


def test_what_all_miss_and_what_cells_differ_on(tmp_path):
    def wrong(row, image):
        return image == 3 or (image == 4 and row.model == "a") or (image == 5 and row.fraction < 1)

    root, trials, predictions = opened(tmp_path, wrong)
    examples = pd.DataFrame(
        {
            "test_fingerprint": "f",
            "example": range(10),
            "label": [image % 2 for image in range(10)],
            "class": ["even" if image % 2 == 0 else "odd" for image in range(10)],
            "place": [f"test/{image}.png" for image in range(10)],
        }
    )
    right = predictions.groupby("trial_id")["correct"].mean()
    trials["final_test_accuracy"] = trials["trial_id"].map(right)
    run = results.open(root)
    # A trial that was continued has predictions of its earlier last epoch too, which say nothing.
    earlier = predictions.assign(epoch=1, prediction=7, correct=False)
    both = pd.concat([earlier, predictions], ignore_index=True)
    run._tables |= {"trials": trials, "predictions": both, "examples": examples}
    found = run.analysis.mistakes
    assert found.runs == 4
    (missed,) = found.missed.to_dict("records")
    assert (missed["example"], missed["class"], missed["taken"]) == (3, "odd", "even")
    assert missed["share"] == 1.0
    # Image 5 is right in two of the four cells as 4 is, 3 in none.
    assert sorted(found.disputed["example"]) == [4, 5]

    asked = []

    def look(places):
        asked.extend(places)
        return {"test/4.png": b"jpeg"}

    gallery = gallery_of(run.analysis, look)
    assert asked == ["test/3.png", "test/4.png", "test/5.png"]
    assert [text for text, _, _ in gallery["missed"]] == ["odd, taken for even by 100 % of runs"]
    codes = dict(zip(gallery["disputed"]["cells"], gallery["disputed"]["right"], strict=True))
    assert codes == {"a × 1/2": "00", "a × 1": "01", "b × 1/2": "10", "b × 1": "11"}
    assert [bool(picture) for _, _, picture in gallery["disputed"]["images"]] == [True, False]
    chosen = [gallery["disputed"]["cells"][place] for place in gallery["disputed"]["chosen"]]
    assert chosen == ["b × 1", "a × 1"]


def test_nothing_is_told_where_no_image_is_recorded(tmp_path):
    plan = Plan(seeds=(0, 1))
    run = results.open(write(tmp_path / "run", plan, np.random.default_rng(0)))
    assert gallery_of(run.analysis) is None or run.analysis.mistakes.runs
