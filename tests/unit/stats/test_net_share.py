"""The interval of one share less another: its coverage by counting every sample, and its edges."""

from math import comb

import pytest

from app.stats.estimate import Estimate, StatsError
from app.stats.net_share import net_share_interval


@pytest.mark.parametrize(("up", "down"), [(0.5, 0.2), (0.1, 0.1), (0.7, 0.3), (0.9, 0.05)])
def test_it_covers_the_truth_about_as_often_as_it_says(up: float, down: float) -> None:
    n, covered = 40, 0.0
    for x in range(n + 1):
        for y in range(n + 1 - x):
            rest = max(1 - up - down, 0.0) ** (n - x - y)
            chance = comb(n, x) * comb(n - x, y) * up**x * down**y * rest
            found = net_share_interval(x, y, n)
            assert isinstance(found, Estimate)
            assert found.low is not None
            assert found.high is not None
            covered += chance * (found.low <= up - down <= found.high)
    # Nominally .95; every sample was counted, so this is exact. Near the ends of -1..1 it errs to the wide side.
    assert 0.94 <= covered <= 0.99


def test_it_has_a_width_where_all_agree_and_stays_within_bounds() -> None:
    for n in (1, 2, 10, 1_000):
        best, worst = net_share_interval(n, 0, n), net_share_interval(0, n, n)
        assert isinstance(best, Estimate)
        assert isinstance(worst, Estimate)
        assert best.low is not None
        assert best.value == best.high == 1.0 > best.low
        assert (worst.value, worst.low, worst.high) == (-1.0, -1.0, -best.low)


def test_more_answers_than_were_given_are_refused() -> None:
    for counts in ((3, 3, 5), (-1, 0, 5), (0, 0, -1)):
        with pytest.raises(StatsError):
            net_share_interval(*counts)
