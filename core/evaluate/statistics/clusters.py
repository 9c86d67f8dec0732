"""Sums per cluster of paired differences, with their mean and its error.

Rows of one conversation are not independent, so the unit of every error estimate is the cluster. The mean difference
over rows is a ratio of two sums over clusters, D = sum of the differences and n = number of rows:

    estimate = sum(D) / sum(n),   residual of a cluster = D − estimate · n   (Cochran 1977, Sampling Techniques, ch. 6)
"""

from dataclasses import dataclass

import numpy as np

# A difference of two equal numbers can be a rounding error; relative to the largest score it is below this.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class ClusterSums:
    """Sums per cluster of the differences of paired rows.

    Attributes:
        differences: Sum of the differences of a cluster's rows, (clusters,), float64.
        sizes: Number of rows of a cluster, (clusters,), float64.
    """

    differences: np.ndarray
    sizes: np.ndarray

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def rows(self) -> float:
        """Return the number of rows of all clusters."""
        return float(self.sizes.sum())

    @property
    def estimate(self) -> float:
        """Return the mean difference over rows."""
        return float(self.differences.sum() / self.rows)

    @property
    def residuals(self) -> np.ndarray:
        """Return how far each cluster's sum is from the estimate, (clusters,); rounding errors are 0."""
        found = self.differences - self.estimate * self.sizes
        found[np.abs(found) <= _ROUNDING * np.abs(self.differences).max(initial=0)] = 0
        return found

    @property
    def effective(self) -> float:
        """Return the number of equally large clusters with the same information (Kish 1965, Survey Sampling)."""
        return float(self.rows**2 / (self.sizes**2).sum())

    @property
    def differing(self) -> int:
        """Return the number of clusters whose sum of differences is not 0."""
        return int(np.count_nonzero(self.differences))

    @property
    def jackknife_error(self) -> float:
        """Return the standard error of the estimate by leaving out each cluster once.

        sqrt((K − 1) / K · sum((estimate − estimate without k)²)), where the difference of both estimates is
        residual / (rows − size). For unequal clusters it is less optimistic than the linearized error (MacKinnon,
        Nielsen and Webb 2023, "Cluster-robust inference", Journal of Econometrics 232, the estimator CV3J).
        """
        count = len(self)
        shifts = self.residuals / (self.rows - self.sizes)
        return float(np.sqrt((count - 1) / count * (shifts**2).sum()))


def subtract(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return second − first, (n,), float64, with 0 in place of rounding errors; both are finite."""
    differences = second - first
    scale = np.maximum(np.abs(first), np.abs(second))
    differences[np.abs(differences) <= _ROUNDING * scale] = 0
    return differences


def sum_by_cluster(differences: np.ndarray, clusters: np.ndarray) -> ClusterSums:
    """Return the sums of differences per cluster.

    Args:
        differences: Difference of each row, (n,).
        clusters: Number of each row's cluster, (n,).
    """
    _, numbers, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    return ClusterSums(np.bincount(numbers, differences, len(sizes)), sizes.astype(np.float64))
