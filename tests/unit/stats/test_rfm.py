"""RFM quintiles and scores against hand counts, invariants and a published shop's reference."""

import json
import os
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv

from app.stats.estimate import StatsError
from app.stats.rfm import RfmEdges, quintile_edges, rfm_scores, rfm_scores_of_one

EDGES = RfmEdges((7, 30, 90, 180), (1, 2, 3, 6), (2500, 5000, 9000, 20000))
SAMPLES = st.lists(st.integers(0, 10**9), min_size=1, max_size=60)


def test_quintile_edges_interpolate_between_order_statistics():
    # Hyndman and Fan (1996), definition 7: position 1 + (n - 1) p in the sorted sample. For n = 4 the positions are
    # 1.6, 2.2, 2.8 and 3.4.
    assert quintile_edges([40, 10, 30, 20]).tolist() == pytest.approx([16, 22, 28, 34])


def test_a_single_value_is_all_its_own_edges():
    assert quintile_edges([7]).tolist() == [7.0] * 4


@pytest.mark.parametrize("values", [[], [[1, 2], [3, 4]], [1.0, float("nan")], [float("inf")], 3.0])
def test_what_is_no_sample_has_no_edges(values):
    with pytest.raises(StatsError):
        quintile_edges(values)


def test_scores_count_the_edges_strictly_below():
    scores = rfm_scores([0, 7, 8, 180, 181], [1, 2, 3, 6, 7], [2500, 2501, 9000, 20000, 20001], EDGES)
    assert scores.dtype == np.int8
    assert scores.tolist() == [[5, 1, 1], [5, 2, 2], [4, 3, 3], [2, 4, 4], [1, 5, 5]]


def test_no_customers_have_no_scores():
    assert rfm_scores([], [], [], EDGES).shape == (0, 3)


@given(st.lists(st.tuples(*[st.integers(0, 100)] * 3), min_size=1, max_size=60))
def test_equal_customers_score_equally_and_better_ones_never_lower(customers):
    columns = np.array(customers).T
    edges = RfmEdges(*(tuple(quintile_edges(column)) for column in columns))
    scores = rfm_scores(*columns, edges)
    assert scores.min() >= 1
    assert scores.max() <= 5
    for feature, better in enumerate((-1, 1, 1)):
        order = np.argsort(better * columns[feature], kind="stable")
        values, ranked = columns[feature][order], scores[order, feature].astype(int)
        assert (np.diff(ranked) >= 0).all()
        assert (np.diff(ranked)[np.diff(values) == 0] == 0).all()


# Values of this size fall on edges as often as between them.
@given(st.tuples(*[st.integers(0, 190) | st.integers(2_400, 20_001) | st.floats(0, 25_000)] * 3))
def test_one_customer_scores_as_among_others(customer):
    assert list(rfm_scores_of_one(*customer, EDGES)) == rfm_scores(*([each] for each in customer), EDGES)[0].tolist()


@given(st.lists(st.integers(0, 10**9), min_size=5, max_size=60, unique=True))
def test_distinct_values_fill_all_five_scores_about_equally(values):
    edges = tuple(quintile_edges(values))
    scores = rfm_scores(values, values, values, RfmEdges(edges, edges, edges))
    # An edge falls at most one customer away from an exact fifth of the sample.
    counts = np.bincount(scores[:, 1], minlength=6)[1:]
    assert (np.abs(counts - len(values) / 5) <= 1).all()
    assert (scores[:, 0] == 6 - scores[:, 1]).all()


@given(SAMPLES, st.randoms(use_true_random=False))
def test_edges_do_not_depend_on_the_order_of_customers(values, random):
    shuffled = random.sample(values, len(values))
    assert quintile_edges(shuffled).tolist() == quintile_edges(values).tolist()


def test_features_of_different_length_are_refused():
    with pytest.raises(StatsError, match="2, 1 and 1"):
        rfm_scores([1, 2], [1], [1], EDGES)


def test_a_customer_without_a_purchase_cannot_be_scored():
    with pytest.raises(StatsError, match="days_since_last_purchase"):
        rfm_scores([float("nan")], [0], [0], EDGES)


def test_edges_survive_json():
    assert RfmEdges.from_dict(json.loads(json.dumps(EDGES.to_dict()))) == EDGES


@pytest.mark.parametrize("edges", [(1, 2, 3), (1, 2, 3, 4, 5), (1, 3, 2, 4), (1, 2, 3, float("nan")), ()])
def test_edges_that_do_not_cut_fifths_are_refused(edges):
    with pytest.raises(StatsError, match="purchase_count"):
        RfmEdges((1, 2, 3, 4), edges, (1, 2, 3, 4))


def test_stored_edges_with_a_missing_or_unknown_feature_are_refused():
    with pytest.raises(StatsError, match="total_spend"):
        RfmEdges.from_dict({"days_since_last_purchase": [1, 2, 3, 4], "purchase_count": [1, 2, 3, 4]})
    with pytest.raises(StatsError, match="tenure"):
        RfmEdges.from_dict({**EDGES.to_dict(), "tenure": [1, 2, 3, 4]})


def online_retail() -> Path:
    project = Path(__file__).resolve().parents[3]
    folder = Path(os.environ.get("TESSERA_TEST_DATA", project.parent / "shared" / "data")) / "online_retail"
    if not (folder / "reference.json").exists():
        pytest.skip(f"no real data in {folder}; set TESSERA_TEST_DATA")
    return folder


def purchases(folder: Path):
    """Give one row per invoice of a known customer with a positive amount: customer, invoice, last line, amount."""
    lines = csv.read_csv(
        folder / "online_retail_2010_2011.csv.gz",
        convert_options=csv.ConvertOptions(
            include_columns=["InvoiceNo", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID"],
            column_types={"InvoiceNo": "string", "UnitPrice": "float64", "CustomerID": "float64"},
        ),
    )
    lines = lines.filter(pc.is_valid(lines["CustomerID"]))
    lines = lines.append_column("amount", pc.multiply(lines["Quantity"], lines["UnitPrice"]))
    lines = lines.filter(pc.greater(lines["amount"], 0))
    return lines.group_by(["CustomerID", "InvoiceNo"]).aggregate([("InvoiceDate", "max"), ("amount", "sum")])


def test_edges_of_online_retail_are_those_of_the_reference():
    folder = online_retail()
    # reference.json, "rfm": made independently of this code, with its definition of the three features beside it.
    reference = json.loads((folder / "reference.json").read_text())["rfm"]
    customers = (
        purchases(folder)
        .group_by("CustomerID")
        .aggregate([("InvoiceDate_max", "max"), ("InvoiceNo", "count"), ("amount_sum", "sum")])
    )
    assert customers.num_rows == reference["customers"]
    snapshot = np.datetime64(datetime.fromisoformat(reference["snapshot"]), "s")
    last = customers["InvoiceDate_max_max"].to_numpy().astype("datetime64[s]")
    features = {
        "R": (snapshot - last) // np.timedelta64(1, "D"),
        "F": customers["InvoiceNo_count"].to_numpy(),
        "M": customers["amount_sum_sum"].to_numpy(),
    }
    for name, wanted in reference["quantiles_20_40_60_80"].items():
        # The reference is printed with three decimals.
        assert quintile_edges(features[name]).tolist() == pytest.approx(wanted, abs=5e-4 + 1e-9)
