import pytest

from results.labels import fraction_label


@pytest.mark.parametrize(
    ("share", "label"),
    [(1.0, "1"), (0.5, "1/2"), (1 / 3, "1/3"), (0.75, "3/4"), (0.55, "11/20"), (1 / 16, "1/16"),
     (500 / 45_000, "1/90"), (1000 / 45_000, "1/45"), (1 / 1024, "1/1024")],
)  # fmt: skip
def test_a_share_is_written_as_people_write_it(share, label):
    assert fraction_label(share) == fraction_label(share, round(45_000 * share)) == label


def test_a_share_that_is_no_plain_fraction_is_written_in_images_or_percent():
    assert fraction_label(501 / 45_000, 501) == "501 images"
    assert fraction_label(0.123456) == "12.3 %"
