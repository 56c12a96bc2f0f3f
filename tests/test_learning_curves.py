"""The benchmark that fits the forecasts' constants computes what the product does."""

from pathlib import Path

import numpy as np
import pytest
from scripts import script

from results.statistics import forecast
from results.statistics.forecast import FILTERS, LOCAL_LAW, Curve

ROOT = Path(__file__).parents[1]
CURVES = ROOT.parent / "shared/facts/curves"


@pytest.fixture(scope="module")
def benchmark():
    return script("benchmarks/learning_curves.py")


def shipped(torch):
    """Return the shipped constants as the benchmark fits them."""
    columns = torch.tensor(forecast._BANK, dtype=torch.float32).T
    names = ("c", "keep", "centre", "start", "variance", "wander", "jump", "weight")
    bank = dict(zip(names, columns, strict=True))
    for name in ("c", "variance", "wander", "jump", "weight"):
        bank[name] = bank[name].log()
    bank["keep"] = torch.logit(bank["keep"])
    return bank | {"sharpness": torch.tensor(forecast._SHARPNESS).log()}


def test_filters_local_law_and_noise_are_the_products(benchmark):
    shares = np.array(benchmark.DESIGNS["3, wide"])
    runs = np.array([[[40.0, 41.0, 42.5], [25.0, 24.0, 26.0], [20.0, 21.0, 20.5]]])
    curve = Curve(np.repeat(1600 * 2.0**shares, 3), runs.ravel())
    assert benchmark.variances(runs)[0] == pytest.approx(curve.variances)
    found = curve.forecast(4 * 1600)
    mean = runs.mean(axis=2)
    assert benchmark.local_law(mean, shares, 2.0)[0] == pytest.approx(found.forms[LOCAL_LAW])
    parts = [benchmark.tensor(part) for part in (mean, benchmark.variances(runs))]
    value, _ = benchmark.filtered(*parts, shipped(benchmark.torch), 2.0, np.diff(shares).tolist())
    assert value.item() == pytest.approx(found.forms[FILTERS], rel=1e-4)


def test_real_curves_of_other_tasks_are_held(benchmark, capsys):
    if not CURVES.exists():
        pytest.skip("the real curves are not here")
    benchmark.score_medical(benchmark.pd.read_csv(CURVES / "medical.csv"))
    said = capsys.readouterr().out
    assert "0% refused" in said
    assert float(said.split("error ")[1].split()[0]) < 0.886
