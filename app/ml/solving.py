"""Fits each clustering method to points: starts here, as everywhere in `ml`, from a seed and ends in plain arrays."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.cluster import hierarchy
from sklearn.cluster import k_means
from sklearn.mixture import GaussianMixture

from app.errors import InvalidInput
from app.ml.columns import Floats, Integers
from app.ml.threads import repeatable

# Enough for starts to find the same valleys as everybody would.
START_SAMPLE = 20_000
WARM_SAMPLE = 100_000
SEED_LIMIT = 2**32
TOLERANCE = 1e-4
MOST_ITERATIONS = 300
# scikit-learn is not typed.
mixture_of: Callable[..., Any] = GaussianMixture


@dataclass(frozen=True, slots=True)
class Solution:
    """A grouping of points, in no particular order of segments.

    Parameters
    ----------
    labels : ndarray of int64, shape (n,)
        0..k-1, or -1 for noise.
    parts : dict of str to ndarray
        What assignment needs; each has one entry per segment, unless the method says otherwise.
    cost : float or None
        Inertia, or Bayesian information criterion.
    """

    labels: Integers
    parts: dict[str, Any]
    cost: float | None
    warnings: tuple[dict[str, str], ...] = ()


# From k and seed to a solution, for points given before.
Solve = Callable[[int, int], Solution]
# From points and parameters; what costs the same for every k is done once.
Solver = Callable[[Floats, Mapping[str, Any]], Solve]


def kmeans(points: Floats, params: Mapping[str, Any]) -> Solve:
    """k-means by Lloyd's algorithm: several k-means++ starts on a sample, the best of them continued on everybody.

    Or continued from the centres of ``begin``.

    References
    ----------
    Lloyd, S. P. (1982). Least squares quantization in PCM. IEEE Transactions on Information Theory 28(2), 129-137.
    Arthur, D. and Vassilvitskii, S. (2007). k-means++: the advantages of careful seeding. SODA, 1027-1035.
    """

    def solve(k: int, seed: int) -> Solution:
        with repeatable():
            centres, labels, inertia = _lloyd(points, k, seed, params)
        return Solution(labels, {"centres": centres}, inertia)

    return solve


def _lloyd(points: Floats, k: int, seed: int, params: Mapping[str, Any]) -> tuple[Floats, Integers, float]:
    seed %= SEED_LIMIT
    n = points.shape[0]
    # Where the best start is known already, it is not looked for again.
    init: Any = params.get("begin", "k-means++")
    sizes = [size for size in (START_SAMPLE, WARM_SAMPLE) if size < n]
    order = np.random.default_rng(seed).choice(n, size=sizes[-1], replace=False) if sizes else np.empty(0)
    for size in (*(sizes if isinstance(init, str) else sizes[1:]), n):
        centres, labels, inertia = k_means(
            points if size == n else points[order[:size]],
            k,
            init=init,
            n_init=int(params["starts"]) if isinstance(init, str) else 1,
            random_state=seed,
            tol=TOLERANCE,
            max_iter=MOST_ITERATIONS,
        )
        init = centres
    return centres, labels.astype(np.int64), float(inertia)


def gaussian_mixture(points: Floats, params: Mapping[str, Any]) -> Solve:
    """Mixture of normal distributions with full covariances by expectation maximisation.

    Points are kept apart from certainty by a variance that is added to every column.

    References
    ----------
    Dempster, A. P., Laird, N. M. and Rubin, D. B. (1977). Maximum likelihood from incomplete data via the EM
    algorithm. Journal of the Royal Statistical Society B 39(1), 1-38. Schwarz, G. (1978). Estimating the dimension of
    a model. Annals of Statistics 6(2), 461-464 (BIC).
    """

    def solve(k: int, seed: int) -> Solution:
        mixture = mixture_of(
            k,
            covariance_type="full",
            reg_covar=float(params["regularisation"]),
            n_init=int(params["starts"]),
            max_iter=MOST_ITERATIONS,
            random_state=seed % SEED_LIMIT,
        )
        try:
            with repeatable():
                mixture.fit(points)
                labels, cost = mixture.predict(points), float(mixture.bic(points))
        except ValueError as error:
            raise InvalidInput(f"a mixture of {k} components does not hold; raise regularisation ({error})") from error
        doubt = {"code": "not_converged", "detail": f"the mixture of {k} components did not converge"}
        warnings = () if mixture.converged_ else (doubt,)
        return Solution(labels.astype(np.int64), _mixture_parts(mixture), cost, warnings)

    return solve


def _mixture_parts(mixture: Any) -> dict[str, Any]:
    # precisions_cholesky_ U has U U' = precision, and (z - mean) U is white.
    whiten = np.ascontiguousarray(mixture.precisions_cholesky_.transpose(0, 2, 1))
    volume = np.log(np.einsum("kii->ki", whiten)).sum(axis=1)
    return {"means": mixture.means_, "whiten": whiten, "offset": np.log(mixture.weights_) + volume}


def hierarchical(points: Floats, _params: Mapping[str, Any]) -> Solve:
    """Ward's hierarchy of the points given, cut into k; assignment is by nearest centre.

    References
    ----------
    Ward, J. H. (1963). Hierarchical grouping to optimize an objective function. Journal of the American Statistical
    Association 58(301), 236-244.
    """
    tree = hierarchy.linkage(points, method="ward") if points.shape[0] > 1 else np.empty((0, 4))

    def solve(k: int, seed: int) -> Solution:
        del seed  # Nothing is drawn.
        cut = hierarchy.fcluster(tree, k, criterion="maxclust") if tree.size else np.ones(points.shape[0])
        labels = np.unique(cut, return_inverse=True)[1].astype(np.int64)
        centres = np.array([points[labels == label].mean(axis=0) for label in range(labels.max(initial=-1) + 1)])
        inertia = float(((points - centres[labels]) ** 2).sum())
        return Solution(labels, {"centres": centres}, inertia)

    return solve


CostName = Literal["inertia", "bic"]
SOLVERS: Mapping[str, tuple[Solver, CostName]] = {
    "kmeans": (kmeans, "inertia"),
    "gaussian_mixture": (gaussian_mixture, "bic"),
    "hierarchical": (hierarchical, "inertia"),
}
