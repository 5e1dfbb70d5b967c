"""Finds segments as dense regions, HDBSCAN or DBSCAN, and keeps what tells whether somebody new lies in one."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.cluster import DBSCAN, HDBSCAN

from app.ml.assign import UNASSIGNED, index_of_places
from app.ml.columns import Floats, Integers
from app.ml.solving import Solution, Solve
from app.ml.threads import repeatable

LEAST_CLUSTER = 5
# The share of a segment's members whose neighbours are near enough to say how near is near.
REACH_QUANTILE = 0.95
# scikit-learn is not typed.
dbscan_of: Callable[..., Any] = DBSCAN
hdbscan_of: Callable[..., Any] = HDBSCAN


def dbscan(points: Floats, params: Mapping[str, Any]) -> Solve:
    """Dense regions of the points given: HDBSCAN, or with ``eps`` classic DBSCAN. k and seed do not matter.

    Somebody new joins the nearest kept point: of HDBSCAN all points with their labels, noise too, within the 95 %
    quantile of its segment's distances to the ``min_samples``-th neighbour; of DBSCAN the core points, within eps.

    References
    ----------
    Ester, M., Kriegel, H.-P., Sander, J. and Xu, X. (1996). A density-based algorithm for discovering clusters in
    large spatial databases with noise. KDD-96, 226-231. Campello, R. J. G. B., Moulavi, D. and Sander, J. (2013).
    Density-based clustering based on hierarchical density estimates. PAKDD 2013, 160-172.
    """

    def solve(k: int, seed: int) -> Solution:
        del k, seed
        with repeatable():
            labels, parts = _classic(points, params) if params["eps"] else _hierarchy(points, params)
        noise = float((labels == UNASSIGNED).mean())
        detail = f"{noise:.0%} of the customers lie in no dense region and stay unassigned"
        warnings = ({"code": "much_noise", "detail": detail},) if noise > 0.5 else ()
        return Solution(labels, parts, None, warnings)

    return solve


def least_cluster(params: Mapping[str, Any], share: float, n: int) -> int:
    """The smallest cluster that HDBSCAN may find: as asked, or the share that a segment should at least have."""
    return int(params["min_cluster_size"] or max(LEAST_CLUSTER, int(np.ceil(share * n))))


def _hierarchy(points: Floats, params: Mapping[str, Any]) -> tuple[Integers, dict[str, Any]]:
    n = points.shape[0]
    size = max(2, min(int(params["min_cluster_size"]), n))
    neighbours = min(int(params["min_samples"] or size), n)
    labels = hdbscan_of(min_cluster_size=size, min_samples=neighbours, copy=True).fit(points).labels_.astype(np.int64)
    distances = index_of_places(points).query(points, k=[neighbours])[0][:, 0]
    reach = [np.quantile(distances[labels == label], REACH_QUANTILE) for label in range(labels.max(initial=-1) + 1)]
    return labels, {"places": points, "labels": labels, "reach": np.array(reach, dtype=np.float64)}


def _classic(points: Floats, params: Mapping[str, Any]) -> tuple[Integers, dict[str, Any]]:
    found = dbscan_of(eps=float(params["eps"]), min_samples=int(params["min_samples"] or LEAST_CLUSTER)).fit(points)
    labels = found.labels_.astype(np.int64)
    cores = found.core_sample_indices_
    reach = np.full(labels.max(initial=-1) + 1, float(params["eps"]))
    return labels, {"places": points[cores], "labels": labels[cores], "reach": reach}
