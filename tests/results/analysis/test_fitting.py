import pytest
from runs_table import curve, epochs_frame, trial

from results.analysis.fitting import selection_optimism


def test_optimism_of_choosing_the_epoch_on_test():
    row = trial(0.7)
    epochs = epochs_frame(
        curve(row, val_accuracy=[0.5, 0.7, 0.6], test_accuracy=[0.50, 0.62, 0.65])
    )
    found = selection_optimism(epochs).iloc[0]
    assert found["by_validation"] == pytest.approx(62)
    assert found["by_test"] == pytest.approx(65)
    assert found["optimism"] == pytest.approx(3)
