"""The design rules at their thresholds, on both sides of each."""

from results.findings import rules
from results.findings.finding import Severity


def test_thresholds():
    assert [n for n in range(4) if rules.has_few_seeds(n)] == [1]
    # One size asks nothing; three parameters leave the fourth size to check a power law by.
    assert [n for n in range(7) if rules.has_few_sizes(n)] == [2, 3]
    assert rules.has_few_steps(9)
    assert not rules.has_few_steps(10)


def test_unequal_updates():
    assert rules.has_unequal_updates(999, 1998)
    assert not rules.has_unequal_updates(999, 1997)
    assert not rules.has_unequal_updates(1000, 16_000)


def test_grids():
    assert rules.is_at_edge(1e-3, [1e-3, 1e-2, 1e-1])
    assert not rules.is_at_edge(1e-2, [1e-3, 1e-2, 1e-1])
    assert not rules.is_at_edge(1e-3, [1e-3])
    assert rules.is_narrow([1e-4, 1.0])
    assert rules.is_narrow([1.0, 2.0, 4.9])
    assert not rules.is_narrow([1.0, 2.0, 5.0])
    assert not rules.is_narrow([0.0, 0.1, 0.2])


def test_one_learning_rate():
    assert rules.shares_lr(["none", "IMAGENET1K_V1"], varies=False)
    assert not rules.shares_lr(["none", "IMAGENET1K_V1"], varies=True)
    assert not rules.shares_lr(["none", "none"], varies=False)
    assert not rules.shares_lr(["mine", "IMAGENET1K_V1"], varies=False)


def test_a_broken_rule_is_a_finding():
    finding = rules.SIZES("2 fractions", "measure 5", "resnet18 × none")
    assert (finding.code, finding.severity) == ("few-fractions", Severity.NOTE)
    assert (finding.cell, str(finding)) == ("resnet18 × none", "2 fractions; measure 5.")
