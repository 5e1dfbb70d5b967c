"""Credit of every model against hand-worked journeys, independent methods and invariants."""

from itertools import combinations, pairwise, permutations

import numpy as np
import pytest

from app.stats.attribution.journeys import Journeys
from app.stats.attribution.markov import MAX_STATES, TooManyStates, markov, removal_effects
from app.stats.attribution.rounding import whole_units
from app.stats.attribution.rules import by_rule, time_decay
from app.stats.attribution.shapley import shapley
from app.stats.estimate import StatsError

RULES = ("first", "last", "linear", "position")


def random_journeys(seed: int, *, channels: int = 6, paths: int = 60) -> Journeys:
    random = np.random.default_rng(seed)
    names = [f"c{number:02}" for number in range(channels)]
    made = [[names[each] for each in random.integers(0, channels, random.integers(1, 7))] for _ in range(paths)]
    conversions = random.integers(0, 5, paths)
    ages = [sorted(random.integers(0, 30, len(path)).tolist(), reverse=True) for path in made]
    values = conversions * random.integers(1, 9_999, paths)
    return Journeys.of(made, conversions=conversions, values=values, nulls=random.integers(0, 9, paths), ages=ages)


def every_credit(journeys: Journeys) -> dict[str, tuple[float, float]]:
    credits = [by_rule(journeys, rule) for rule in RULES]
    credits += [time_decay(journeys, half_life_days=7), *(markov(journeys, order=order) for order in (1, 2, 3))]
    credits += [shapley(journeys), shapley(journeys, game="rate")]
    return {str(place): (each.conversions.sum(), each.values.sum()) for place, each in enumerate(credits)}


@pytest.mark.parametrize("seed", range(5))
def test_credits_of_every_model_add_up_to_the_totals(seed: int) -> None:
    journeys = random_journeys(seed)
    for found in every_credit(journeys).values():
        assert found == pytest.approx((journeys.total_conversions, journeys.total_value), rel=1e-12)


def test_one_channel_takes_everything_in_every_model() -> None:
    journeys = Journeys.of([["a"], ["a", "a"]], conversions=[2, 1], values=[5, 5], nulls=[1, 0], ages=[[0], [3, 1]])
    for found in every_credit(journeys).values():
        assert found == pytest.approx((3, 10))


def test_no_journeys_give_no_credit() -> None:
    for found in every_credit(Journeys.of([], conversions=[], ages=[])).values():
        assert found == (0, 0)
    assert removal_effects(Journeys.of([], conversions=[])).conversion_probability == 0


def test_journeys_that_never_convert_give_no_credit_and_no_nan() -> None:
    journeys = Journeys.of([["a", "b"]], conversions=[0], nulls=[7], ages=[[1, 0]])
    for found in every_credit(journeys).values():
        assert found == (0, 0)


def test_a_path_counted_twice_is_the_same_as_its_count_doubled() -> None:
    twice = Journeys.of(
        [["a", "b"], ["a", "b"], ["b"]], conversions=[1, 1, 1], nulls=[1, 2, 0], ages=[[2, 1]] * 2 + [[0]]
    )
    once = Journeys.of([["a", "b"], ["b"]], conversions=[2, 1], nulls=[3, 0], ages=[[2, 1], [0]])
    for one, other in ((markov(twice), markov(once)), (shapley(twice, game="rate"), shapley(once, game="rate"))):
        assert one.conversions.tolist() == pytest.approx(other.conversions.tolist())


def without(journeys: Journeys, channel: int, order: int) -> float:
    """Conversion probability by walking the chain as it is written, state by state, with one channel sent to null."""
    moves: dict[tuple[object, ...], dict[object, float]] = {}
    for number, start in enumerate(journeys.starts):
        path = journeys.touches[start : start + journeys.lengths[number]].tolist()
        states = [("start",)] + [tuple(path[max(0, place + 1 - order) : place + 1]) for place in range(len(path))]
        weight = journeys.conversions[number] + journeys.nulls[number]
        for state, following in pairwise(states):
            own = moves.setdefault(state, {})
            own[following] = own.get(following, 0.0) + weight
        own = moves.setdefault(states[-1], {})
        own["conversion"] = own.get("conversion", 0.0) + journeys.conversions[number]
        own["null"] = own.get("null", 0.0) + journeys.nulls[number]
    mass, converted = {("start",): 1.0}, 0.0
    for _ in range(3_000):  # what is still under way shrinks by a factor at each step
        later: dict[tuple[object, ...], float] = {}
        for state, share in mass.items():
            whole = sum(moves[state].values())
            for following, weight in moves[state].items():
                if following == "conversion":
                    converted += share * weight / whole
                elif following != "null" and following[-1] != channel and weight:  # type: ignore[index]
                    later[following] = later.get(following, 0.0) + share * weight / whole  # type: ignore[index,arg-type]
        mass = later
    return converted


@pytest.mark.parametrize("order", [1, 2, 3])
def test_removal_effects_equal_a_walk_through_the_chain_without_the_channel(order: int) -> None:
    journeys = random_journeys(11, channels=4, paths=25)
    found = removal_effects(journeys, order=order)
    whole = without(journeys, -1, order)
    assert found.conversion_probability == pytest.approx(whole, rel=1e-9)
    for channel in range(4):
        assert found.conversions[channel] == pytest.approx(1 - without(journeys, channel, order) / whole, rel=1e-9)


def test_value_has_removal_effects_of_its_own() -> None:
    """Where every outcome is worth the same they are those on conversions; where only some path pays, that path's."""
    same = Journeys.of([["a", "b"], ["c"]], conversions=[1, 1], values=[7, 7], nulls=[1, 1])
    assert removal_effects(same).values.tolist() == pytest.approx(removal_effects(same).conversions.tolist())
    one = Journeys.of([["a", "b"], ["c"]], conversions=[1, 1], values=[7, 0], nulls=[1, 1])
    assert markov(one).values.tolist() == pytest.approx([3.5, 3.5, 0])


def test_an_order_as_long_as_the_longest_path_and_beyond_changes_nothing_any_more() -> None:
    journeys = random_journeys(5, channels=3, paths=20)
    assert markov(journeys, order=6).conversions.tolist() == pytest.approx(
        markov(journeys, order=9).conversions.tolist()
    )


def test_a_chain_with_too_many_states_is_refused_and_not_tried() -> None:
    paths = [[f"c{number}", f"c{number + 1}"] for number in range(MAX_STATES)]
    with pytest.raises(TooManyStates, match="states"):
        markov(Journeys.of(paths, conversions=np.ones(MAX_STATES)), order=2)
    with pytest.raises(TooManyStates, match="too many for order 20"):
        markov(Journeys.of(paths[:10], conversions=np.ones(10)), order=20)
    with pytest.raises(StatsError, match="at least 1"):
        markov(Journeys.of([["a"]], conversions=[1]), order=0)


@pytest.mark.parametrize("game", ["conversions", "rate"])
def test_shapley_values_equal_the_mean_over_all_orders_of_joining(game: str) -> None:
    journeys = random_journeys(3, channels=5)
    sets = [
        set(journeys.touches[start:][:length].tolist())
        for start, length in zip(journeys.starts, journeys.lengths, strict=True)
    ]

    def worth(coalition: frozenset[int]) -> float:
        inside = [place for place, own in enumerate(sets) if own <= coalition]
        conversions = float(journeys.conversions[inside].sum())
        every = conversions + float(journeys.nulls[inside].sum())
        return conversions if game == "conversions" else conversions / every if every else 0.0

    known = {frozenset(each): worth(frozenset(each)) for n in range(6) for each in combinations(range(5), n)}
    found = np.zeros(5)
    for order in permutations(range(5)):
        for place, player in enumerate(order):
            found[player] += known[frozenset(order[: place + 1])] - known[frozenset(order[:place])]
    found *= journeys.total_conversions / found.sum()
    assert shapley(journeys, game=game).conversions.tolist() == pytest.approx(found.tolist())  # type: ignore[arg-type]


def test_sampled_orders_come_near_the_exact_values_within_their_standard_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journeys = random_journeys(7, channels=9, paths=300)
    exact = shapley(journeys, game="rate")
    monkeypatch.setattr("app.stats.attribution.shapley.EXACT_CHANNELS", 8)
    sampled = shapley(journeys, game="rate", seed=1)
    assert exact.standard_errors is None
    assert sampled.standard_errors is not None
    # Of nine normal deviations one beyond 4.5 has a probability below 1e-4.
    assert (np.abs(sampled.conversions - exact.conversions) < 4.5 * sampled.standard_errors).all()
    assert shapley(journeys, game="rate", seed=1).conversions.tolist() == sampled.conversions.tolist()
    assert sampled.conversions.sum() == pytest.approx(journeys.total_conversions)


def test_many_channels_are_sampled_and_the_game_of_conversions_stays_exact() -> None:
    journeys = random_journeys(2, channels=70, paths=500)
    assert shapley(journeys).standard_errors is None
    assert shapley(journeys, game="rate", permutations=20).conversions.sum() == pytest.approx(
        journeys.total_conversions
    )


def test_a_fresh_touch_counts_twice_as_much_as_one_a_half_life_older_however_old_both_are() -> None:
    old = Journeys.of([["a", "b"]], conversions=[3], ages=[[100_007.0, 100_000.0]])
    assert time_decay(old, half_life_days=7).conversions.tolist() == pytest.approx([1, 2])


def test_a_half_life_near_0_gives_everything_to_the_freshest_touch() -> None:
    journeys = Journeys.of([["a", "b"]], conversions=[3], ages=[[300.0, 0.0]])
    assert time_decay(journeys, half_life_days=1e-308).conversions.tolist() == [0, 3]


def test_what_is_no_journey_is_refused() -> None:
    for paths, counts in (([[]], [1]), ([["a"]], [1, 2]), ([["a"]], [-1]), ([["a"]], [np.nan])):
        with pytest.raises(StatsError):
            Journeys.of(paths, conversions=counts)
    with pytest.raises(StatsError, match="age"):
        Journeys.of([["a"]], conversions=[1], ages=[[1, 2]])
    with pytest.raises(StatsError, match="age"):
        time_decay(Journeys.of([["a"]], conversions=[1]), half_life_days=1)
    with pytest.raises(StatsError, match="half-life"):
        time_decay(Journeys.of([["a"]], conversions=[1], ages=[[1]]), half_life_days=0)


@pytest.mark.parametrize("seed", range(20))
def test_whole_units_add_up_and_are_off_by_less_than_one(seed: int) -> None:
    random = np.random.default_rng(seed)
    shares = random.normal(1, 0.5, random.integers(1, 40))
    total = int(random.integers(0, 10**18))
    units = whole_units(shares.tolist(), total)
    assert sum(units) == total
    # Against floating point, which is exact to some 1e-15 of the total.
    assert np.abs(np.array(units, dtype=np.float64) - shares / shares.sum() * total).max() <= 1 + 1e-12 * total
    assert whole_units([], 5) == []
    assert whole_units([0.0, 0.0], 5) == [3, 2]
