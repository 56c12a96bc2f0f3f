"""How often answers claim what is not so: `python benchmarks/answers.py` simulates whole studies.

Every study goes through the product's own analysis and answer. In a null study no cell differs
from another, so that each claim in its answer is false.
"""

import sys
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from results.analysis.analysis import Analysis
from results.analysis.runs import Design
from results.answer.answer import answer
from results.records import SCHEMAS

PARAMETERS = {"resnet18": 11_000_000, "resnet34": 21_000_000, "resnet50": 24_000_000}
MODELS = ("resnet18", "resnet50")
WEIGHTS = ("none", "IMAGENET1K_V1")
FRACTIONS = (1 / 16, 1 / 2, 1.0)
POOL = 45_000
CLAIMS = ("Helps:", "Would lose", "ahead of", "overtakes", "times the data")
"""Words that an answer has where it claims that something differs."""
Skill = Callable[[Mapping[str, Any]], float]
"""What a cell's models are good at, in standard deviations of the images' difficulty."""


def simulated(
    generator: np.random.Generator,
    skill: Skill = lambda cell: 1.2,
    seeds: int = 3,
    images: int = 1000,
    seed_sd: float = 0.05,
    image_sd: float = 0.5,
    **factors: Any,
) -> Analysis:
    """Return the analysis of a study that is drawn from a model of seeds and images.

    An image is classified rightly where the skill of a cell and seed exceeds its difficulty, to
    which each cell adds its own taste (`image_sd`) and each run a rest.

    Parameters
    ----------
    generator
        Source of all draws.
    skill
        See `Skill`.
    seeds, images
        Number of seeds and of test images.
    seed_sd, image_sd
        Standard deviations, in those of the images' difficulty.
    factors
        Levels by factor; by default two models, two weights and three fractions.
    """
    levels = {"model": list(MODELS), "weights": list(WEIGHTS), "fraction": list(FRACTIONS)}
    levels |= factors
    cells = [dict(zip(levels, values, strict=True)) for values in product(*levels.values())]
    shape = (len(cells), seeds, images)
    latent = generator.normal(size=(1, 1, images)) * -1
    latent = latent + image_sd * generator.normal(size=(len(cells), 1, images))
    latent = latent + 0.5 * generator.normal(size=shape)
    latent = latent + seed_sd * generator.normal(size=(len(cells), seeds, 1))
    latent = latent + seed_sd * generator.normal(size=(1, seeds, 1))
    right = latent + np.array([skill(cell) for cell in cells])[:, None, None] > 0
    return analysis_of(cells, right)


def claims(study: Analysis) -> list[str]:
    """Return the words of a study's answer that claim a difference."""
    nothing = pd.DataFrame(columns=["severity", "code"])
    text = answer(study, nothing).text
    return [words for words in CLAIMS if words in text]


def null_studies(studies: int, first: int = 0, **settings: Any) -> pd.DataFrame:
    """Return the claims of simulated studies without any effect, a row per study."""
    numbers = range(first, first + studies)
    said = [claims(simulated(np.random.default_rng(number), **settings)) for number in numbers]
    return pd.DataFrame({"study": numbers, "claims": [", ".join(words) for words in said]})


def analysis_of(cells: list[dict[str, Any]], right: np.ndarray) -> Analysis:
    """Return the analysis of cells whose correctness has the shape (cells, seeds, images)."""
    count, seeds, images = right.shape
    rows = [
        {
            "trial_id": f"{place:03d}-{seed}",
            "stage": "measure",
            "seed": seed,
            "status": "completed",
            "wanted": True,
            "measured": True,
            "epochs": 4,
            "epochs_budget": 4,
            "batch_size": 32,
            "n_train": round(POOL * cell["fraction"]),
            "n_parameters": PARAMETERS.get(cell["model"], 1_000_000),
            "final_test_accuracy": float(right[place, seed].mean()),
            "seconds": 3600 * cell["fraction"],
            "cpu": 1.0,
            "gpu": 0.0,
            **cell,
        }
        for place, cell in enumerate(cells)
        for seed in range(seeds)
    ]
    tables = {name: schema.empty_table().to_pandas() for name, schema in SCHEMAS.items()}
    tables["trials"] = pa.Table.from_pylist(rows, schema=SCHEMAS["trials"]).to_pandas()
    tables["predictions"] = pd.DataFrame(
        {
            "trial_id": np.repeat([row["trial_id"] for row in rows], images),
            "epoch": 4,
            "example": np.tile(np.arange(images), count * seeds),
            "correct": right.reshape(-1),
        }
    )
    levels = {name: list(dict.fromkeys(cell[name] for cell in cells)) for name in cells[0]}
    return Analysis(tables.__getitem__, Design(factors=tuple(levels), levels=levels))


def main() -> None:
    """Simulate studies, by default 500, and print how many make a claim."""
    studies, first = (int(text) for text in [*sys.argv[1:], "500", "0"][:2])
    found = null_studies(studies, first)
    wrong = found[found["claims"] != ""]
    print(wrong.to_string(index=False))
    print(f"{len(wrong)} of {studies} null studies claim something ({len(wrong) / studies:.1%})")


if __name__ == "__main__":
    main()
