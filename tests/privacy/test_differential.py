from __future__ import annotations

import math

import numpy as np
import pytest

from uicgpu.errors import SettingsError
from uicgpu.privacy.differential import nearest_centre, private_centres, rho_of, secret_noise


def _unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def groups():
    random = np.random.default_rng(0)
    centres = _unit(random.normal(size=(3, 40)))
    truth = np.arange(6000) % 3
    return _unit(centres[truth] + random.normal(0, 0.08, (6000, 40))), truth


@pytest.mark.parametrize(("epsilon", "delta"), [(0.5, 1e-6), (1.0, 1e-5), (3.0, 1e-9)])
def test_the_budget_implies_the_guarantee(epsilon, delta):
    rho = rho_of(epsilon, delta)
    assert rho + 2 * math.sqrt(rho * math.log(1 / delta)) == pytest.approx(epsilon)


def test_the_spent_noise_adds_up_to_the_budget(groups):
    """Every release is recorded: the sum of 1 / (2 sigma^2) over all of them is rho."""
    vectors, _ = groups
    spent = []

    class Recorder(np.ndarray):
        def __truediv__(self, divisor):
            spent.append(divisor**2 / 2)  # noise / sqrt(2 rho_i) has sigma_i^2 = 1 / (2 rho_i), and so costs rho_i
            return np.asarray(self) / divisor

    made = private_centres(vectors, 3, 1.0, 1e-6, noise=lambda shape: np.zeros(shape).view(Recorder))
    assert len(spent) == 2 * (made.statement["iterations"] + 1)
    assert sum(spent) == pytest.approx(made.statement["rho"])


def test_without_noise_it_finds_the_groups(groups):
    vectors, truth = groups
    best = max(
        len({*zip(nearest_centre(vectors, made.centroids), truth, strict=True)}) == 3
        for made in (private_centres(vectors, 3, math.inf, 1e-6, seed=seed) for seed in range(6))
    )
    assert best
    made = private_centres(vectors, 3, math.inf, 1e-6)
    assert made.counts.sum() == 6000 and made.statement["epsilon"] is None


def test_a_large_budget_is_near_and_a_small_one_far(groups):
    vectors, _ = groups
    exact = private_centres(vectors, 3, math.inf, 1e-6).centroids
    errors = []
    for epsilon in (0.05, 50.0):
        near = [private_centres(vectors, 3, epsilon, 1e-6).centroids for _ in range(3)]
        errors.append(np.mean([np.linalg.norm(centres - exact) for centres in near]))
    assert errors[1] < 0.1 < errors[0]


def test_one_user_moves_what_is_released_by_at_most_one():
    """Sensitivity: the sums of neighbouring data sets differ by a vector of length 1, however long the user's was."""
    vectors = np.random.default_rng(1).normal(size=(50, 6)) * 100
    seen = []

    def record(shape):
        return np.zeros(shape)

    for rows in (vectors, vectors[:-1]):
        made = private_centres(rows, 1, 1.0, 1e-6, iterations=0, noise=record)
        seen.append((made.centroids[0] * made.counts[0], made.counts[0]))
    assert np.linalg.norm(seen[0][0] - seen[1][0]) <= 1 + 1e-9
    assert seen[0][1] - seen[1][1] == 1


def test_an_audit_finds_no_more_than_the_stated_epsilon():
    """Tell data with and without one user apart by the released count: the empirical epsilon stays below."""
    epsilon, delta, runs = 1.0, 1e-5, 1500
    rows = np.ones((20, 2))
    released = [
        [private_centres(data, 1, epsilon, delta, iterations=0).counts[0] for _ in range(runs)]
        for data in (rows, rows[:-1])
    ]
    for cut in (10, 19.5, 25):
        true, false = (np.mean(np.array(counts) > cut) for counts in released)
        # 99 % bounds of both rates by Hoeffding: the audit may not claim what chance explains.
        reach = math.sqrt(math.log(200) / (2 * runs))
        low, high = true - reach - delta, false + reach
        assert low <= 0 or math.log(low / high) <= epsilon


def test_noise_is_normal_and_never_the_same():
    first, second = secret_noise((40_000,)), secret_noise((40_000,))
    assert not np.array_equal(first, second)
    assert abs(first.mean()) < 0.03 and abs(first.std() - 1) < 0.03 and np.isfinite(first).all()


@pytest.mark.parametrize(("epsilon", "delta", "k"), [(0, 1e-6, 3), (-1, 1e-6, 3), (1, 0, 3), (1, 1, 3), (1, 1e-6, 0)])
def test_impossible_budgets_are_refused(epsilon, delta, k):
    with pytest.raises(SettingsError, match="epsilon"):
        private_centres(np.ones((3, 2)), k, epsilon, delta)


def test_statement_says_what_is_not_covered(groups):
    told = private_centres(groups[0], 2, 1.0, 1e-6).statement
    assert "recommendations" in told["not_covered"] and told["unit"] == "one user added or removed"
    assert told["noise_source"] == "operating system"
