"""The diffusion core against closed forms, in float64.

Every test names what must hold exactly or to a stated tolerance for Gaussian and mixture data.
Notation: S covariance of the data, s noise level, h the denoiser, A = S (S + s^2)^-1.
"""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy import stats

from cdm_inspect.model.diffusion import (
    GaussianOracle,
    MixtureOracle,
    ancestral_step,
    euler_maruyama_step,
    flow_log_likelihood,
    jacobian_asymmetry,
    karras_sigmas,
    martingale_gap,
    sample_ancestral,
    sample_dpm_solver,
    sample_euler_maruyama,
    sample_heun,
    u_statistic,
)


def seeded(number=0):
    return torch.Generator().manual_seed(number)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def scalar(value):
    return torch.tensor(value, dtype=torch.float64)


@pytest.fixture
def gaussian():
    root = normal(4, 4)
    return GaussianOracle(torch.tensor([0.3, -0.1, 0.2, 0.0]).double(), root @ root.T / 4)


@pytest.fixture
def mixture():
    covariances = [
        torch.tensor([[0.08, 0.02], [0.02, 0.03]]),
        torch.tensor([[0.02, -0.01], [-0.01, 0.06]]),
    ]
    means = [torch.tensor([0.5, 0.1]), torch.tensor([-0.4, -0.2])]
    parts = [
        GaussianOracle(m.double(), c.double()) for m, c in zip(means, covariances, strict=True)
    ]
    return MixtureOracle(torch.tensor([0.6, 0.4]).double(), parts)


def draws(oracle, count, seed=1):
    return (
        oracle.mean
        + normal(count, len(oracle.mean), seed=seed) @ torch.linalg.cholesky(oracle.covariance).T
    )


# --- what denoising score matching learns -------------------------------------------------------


def test_least_squares_on_noisy_data_recovers_the_oracle(gaussian):
    """The DSM minimiser among affine maps is h; 2e5 draws, largest error 5e-3."""
    clean, sigma = draws(gaussian, 200_000), 0.6
    noisy = clean + sigma * normal(*clean.shape, seed=2)
    fitted = torch.linalg.lstsq(noisy - gaussian.mean, clean - gaussian.mean).solution.T
    assert float((fitted - gaussian.gain(sigma)).abs().max()) < 5e-3


def test_dsm_floor_is_the_trace_of_the_posterior_covariance(gaussian):
    """E||x_0 - h||^2 = tr(S - S (S + s^2)^-1 S), within 1 %."""
    clean, sigma = draws(gaussian, 200_000), 0.6
    noisy = clean + sigma * normal(*clean.shape, seed=2)
    found = (clean - gaussian(noisy, sigma)).square().sum(dim=1).mean()
    s = gaussian.covariance
    floor = torch.trace(s - s @ torch.linalg.inv(s + sigma**2 * torch.eye(4).double()) @ s)
    assert float(found) == pytest.approx(float(floor), rel=0.01)
    assert float(torch.trace(gaussian.posterior_covariance(sigma))) == pytest.approx(float(floor))


def test_tweedie_covariance_of_a_gaussian(gaussian):
    """s^2 J_h = Cov[x_0 | x], exactly."""
    x, sigma = normal(4), 0.6
    jacobian = torch.autograd.functional.jacobian(lambda at: gaussian(at, sigma), x)
    s = gaussian.covariance
    exact = s - s @ torch.linalg.inv(s + sigma**2 * torch.eye(4).double()) @ s
    assert float((sigma**2 * jacobian - exact).abs().max()) < 1e-10


def test_tweedie_covariance_of_a_mixture(mixture):
    """s^2 J_h against importance sampling from the prior, 1 %."""
    x, sigma = torch.tensor([0.1, 0.05]).double(), 0.4
    clean = mixture.sample(2_000_000, seeded(3))
    weight = (-(x - clean).square().sum(dim=1) / (2 * sigma**2)).softmax(dim=0)
    mean = weight @ clean
    centred = clean - mean
    exact = (weight[:, None] * centred).T @ centred
    jacobian = torch.autograd.functional.jacobian(lambda at: mixture(at, sigma), x)
    error = torch.linalg.norm(sigma**2 * jacobian - exact) / torch.linalg.norm(exact)
    assert float(error) < 0.01
    assert torch.allclose(mixture(x, sigma), mean, atol=2e-3)


# --- reverse steps and the martingale -----------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(st.floats(0.01, 5), st.floats(0.01, 1))
def test_ancestral_steps_leave_no_residual(sigma, ratio):
    """E[h(x', s')] = h(x, s) for any s' < s; the oracle is affine, so the mean step suffices."""
    root = normal(4, 4)
    oracle = GaussianOracle(normal(4, seed=9), root @ root.T / 4)
    x = normal(16, 4, seed=1)
    mean = oracle(x, sigma)
    after = scalar(sigma * ratio)
    ends = ancestral_step(x, mean, scalar(sigma), after, torch.zeros_like(x))
    assert float((oracle(ends, after) - mean).abs().max()) < 1e-12


def euler_residual(oracle, steps):
    x = draws(oracle, 64)
    x = x + 0.30 * normal(64, 4, seed=2)
    levels = torch.linspace(0.30, 0.25, steps + 1, dtype=torch.float64)
    at = x
    for sigma, after in pairwise(levels):
        at = euler_maruyama_step(at, oracle(at, sigma), sigma, after, torch.zeros_like(at))
    return float((oracle(at, levels[-1]) - oracle(x, levels[0])).square().mean().sqrt())


def test_euler_maruyama_residual_is_first_order(gaussian):
    """Halved when the steps are doubled from 5: ratio 2.0 +- 0.1."""
    assert euler_residual(gaussian, 5) / euler_residual(gaussian, 10) == pytest.approx(2, abs=0.1)


def test_steps_add_the_noise_their_processes_have():
    """Variance s'^2 (1 - r) of the exact posterior, and 2 s (s - s') of the discretised SDE."""
    sigma, after, z = scalar(0.5), scalar(0.4), normal(200_000)
    still = torch.zeros_like(z)
    exact = ancestral_step(still, still, sigma, after, z).var()
    euler = euler_maruyama_step(still, still, sigma, after, z).var()
    assert float(exact) == pytest.approx(0.4**2 * (1 - 0.64), rel=0.01)
    assert float(euler) == pytest.approx(2 * 0.5 * 0.1, rel=0.01)


def test_residual_of_a_perturbed_oracle_has_its_closed_form():
    """h + c on data N(0, v I): residual c (1 - r) v / (v + s'^2)."""
    v, t, after, c = 0.25, scalar(0.5), scalar(0.3), 0.1
    oracle = GaussianOracle(torch.zeros(3).double(), v * torch.eye(3).double())
    x = normal(16, 3)
    mean = oracle(x, t) + c
    ends = ancestral_step(x, mean, t, after, torch.zeros_like(x))
    found = oracle(ends, after) + c - mean
    expected = c * (1 - 0.36) * v / (v + 0.09)
    assert expected == pytest.approx(0.0470588, abs=1e-7)
    assert torch.allclose(found, torch.full_like(found, expected), atol=1e-12)


def test_martingale_gap_is_unbiased_where_a_single_square_is_not():
    """Perturbed scalar oracle: the U-statistic finds ||b||^2 within 3 standard errors."""
    v, c, sigmas = 0.25, 0.4, torch.tensor([0.5, 0.4]).double()
    oracle = GaussianOracle(torch.zeros(1).double(), v * torch.eye(1).double())

    def shifted(x, sigma):
        return oracle(x, sigma) + c

    x = normal(200_000, 1)
    gap = martingale_gap(shifted, x, sigmas, paths=2, generator=seeded(1))
    exact = (c * (1 - 0.64) * v / (v + 0.16)) ** 2
    assert abs(float(gap.mean()) - exact) < 3 * float(gap.std()) / math.sqrt(len(x))
    assert 0.3 < float((gap < 0).double().mean()) < 0.5
    ends = ancestral_step(x, shifted(x, sigmas[0]), *sigmas, normal(200_000, 1, seed=7))
    single = (shifted(ends, sigmas[1]) - shifted(x, sigmas[0])).square().mean()
    spread = (v / (v + 0.16)) ** 2 * 0.16 * (1 - 0.64)
    assert float(single) == pytest.approx(exact + spread, rel=0.02)


def test_martingale_gap_over_many_steps_of_an_oracle_is_zero(gaussian):
    """The mean of what is restored in eight steps is what one step promised."""
    x = draws(gaussian, 20_000) + normal(20_000, 4, seed=2)
    gap = martingale_gap(
        gaussian,
        x,
        karras_sigmas(8, sigma_max=1.0, sigma_min=0.02),
        paths=4,
        generator=seeded(),
    )
    assert abs(float(gap.mean())) < 3 * float(gap.mean(dim=1).std()) / math.sqrt(len(x))


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 9), st.integers(0, 1000))
def test_u_statistic_is_the_mean_over_pairs(count, seed):
    d = normal(count, 5, seed=seed)
    pairs = [d[i] * d[j] for i in range(count) for j in range(count) if i != j]
    assert torch.allclose(u_statistic(d), torch.stack(pairs).mean(dim=0), atol=1e-12)


# --- what consistency alone does not say --------------------------------------------------------


def test_consistency_does_not_identify_the_data(gaussian):
    """The oracle of other data has no residual either; its DSM is ||(I - A) delta||^2 too high."""
    delta, sigma, after = torch.tensor([0.2, -0.1, 0.0, 0.3]).double(), scalar(0.6), scalar(0.5)
    wrong = GaussianOracle(gaussian.mean + delta, gaussian.covariance)
    clean = draws(gaussian, 400_000)
    x = clean + sigma * normal(400_000, 4, seed=2)
    mean = wrong(x, sigma)
    ends = ancestral_step(x, mean, sigma, after, torch.zeros_like(x))
    assert float((wrong(ends, after) - mean).abs().max()) < 1e-12
    excess = (clean - mean).square().sum(1) - (clean - gaussian(x, sigma)).square().sum(1)
    expected = float(((torch.eye(4).double() - gaussian.gain(sigma)) @ delta).square().sum())
    assert float(excess.mean()) == pytest.approx(expected, abs=4 * float(excess.std()) / 632)


def test_a_field_can_be_consistent_and_not_conservative():
    """h = M (M + s^2)^-1 x with M not symmetric: no residual, and a rotating score."""
    matrix, sigma, after = torch.tensor([[0.4, 0.0], [0.2, 0.2]]).double(), 0.6, scalar(0.4)
    field = GaussianOracle(torch.zeros(2).double(), matrix)
    x = normal(32, 2)
    mean = field(x, sigma)
    ends = ancestral_step(x, mean, scalar(sigma), after, torch.zeros_like(x))
    assert float((field(ends, after) - mean).abs().max()) < 1e-12

    jacobian = (field.gain(sigma) - torch.eye(2).double()) / sigma**2  # of the score
    exact = float((jacobian - jacobian.T).square().sum() / 2)
    assert exact == pytest.approx(0.2208, abs=1e-4)
    found = jacobian_asymmetry(
        field, normal(20_000, 2), scalar(sigma), probes=1, generator=seeded(4)
    )
    scores = found.asymmetry / sigma**4
    error = float(scores.std()) / math.sqrt(len(scores))
    assert abs(float(scores.mean()) - exact) < 3 * error + 1e-12


def test_asymmetry_of_a_gradient_field_is_zero(mixture):
    found = jacobian_asymmetry(mixture, normal(500, 2), scalar(0.3), probes=4, generator=seeded())
    # A single probe's estimate has its own noise; its mean over all sign patterns has none.
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0]]).double()
    jacobian = torch.stack(
        [torch.autograd.functional.jacobian(lambda a: mixture(a, 0.3), at) for at in normal(9, 2)]
    )
    forward = torch.einsum("nij,kj->nki", jacobian, signs)
    backward = torch.einsum("nij,ki->nkj", jacobian, signs)
    exact = (backward.square() - backward * forward).sum(dim=-1).mean(dim=1)
    assert float(exact.abs().max()) < 1e-12
    assert abs(float(found.normalised)) < 0.02


def test_asymmetry_of_a_rotation_is_full():
    """omega times a rotation in two dimensions: 4 omega^2, normalised 1."""
    omega = 0.7
    turn = omega * torch.tensor([[0.0, -1.0], [1.0, 0.0]]).double()
    found = jacobian_asymmetry(
        lambda x, sigma: x @ turn.T, normal(8, 2), scalar(1.0), probes=1, generator=seeded()
    )
    assert torch.allclose(found.asymmetry, torch.full((8,), 4 * omega**2).double(), atol=1e-12)
    assert float(found.normalised) == pytest.approx(1, abs=1e-12)


def test_asymmetry_can_be_minimised():
    """The estimate carries a graph: descending on it makes a matrix symmetric."""
    matrix = torch.tensor([[0.4, 0.0], [0.2, 0.2]], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([matrix], 0.05)
    for step in range(60):
        found = jacobian_asymmetry(
            lambda x, sigma: x @ matrix.T,
            normal(8, 2),
            scalar(1.0),
            probes=2,
            generator=seeded(step),
        )
        optimizer.zero_grad()
        found.asymmetry.mean().backward()
        optimizer.step()
    assert float((matrix[0, 1] - matrix[1, 0]).detach().abs()) < 1e-2


# --- the equations behind it --------------------------------------------------------------------


def divergence(function, x):
    return torch.stack(
        [torch.autograd.grad(function(x)[i], x, create_graph=True)[0][i] for i in range(len(x))]
    ).sum()


@pytest.mark.parametrize("spread", [0.5, 3.0])
def test_martingale_and_fokker_planck_equations_hold_on_and_off_the_data(mixture, spread):
    """d_s h = 2 s J_h g + s Lap(h), d_s g = s grad(div g + ||g||^2), for the score g."""
    for x in spread * normal(5, 2, seed=8):
        x = x.clone().requires_grad_()
        sigma = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)

        def h(at, level=sigma):
            return mixture(at, level)

        def score(at, level=sigma):
            return (mixture(at, level) - at) / level**2

        g = score(x)
        jacobian = torch.autograd.functional.jacobian(h, x)
        for i in range(2):
            (change,) = torch.autograd.grad(h(x)[i], sigma, retain_graph=True)
            laplacian = torch.trace(torch.autograd.functional.hessian(lambda a, i=i: h(a)[i], x))
            martingale = 2 * sigma * (jacobian[i] @ g) + sigma * laplacian
            assert float((change - martingale).detach().abs()) < 1e-8
            (change,) = torch.autograd.grad(score(x)[i], sigma, retain_graph=True)
            potential = divergence(score, x) + score(x).square().sum()
            (gradient,) = torch.autograd.grad(potential, x)
            assert float((change - sigma * gradient[i]).detach().abs()) < 1e-8


# --- solvers ------------------------------------------------------------------------------------


def flow_error(sampler, oracle, steps):
    x = normal(32, 4, seed=2)
    sigmas = torch.logspace(0, -1, steps + 1, dtype=torch.float64)
    return float((sampler(oracle, x, sigmas) - oracle.flow(x, 1.0, 0.1)).norm())


@pytest.mark.parametrize("sampler", [sample_heun, sample_dpm_solver])
def test_solvers_follow_the_probability_flow_to_second_order(sampler, gaussian):
    """Towards x(s) - m = sqrt((l + s^2) / (l + T^2)) (x_T - m); error ratio about 4."""
    ratio = flow_error(sampler, gaussian, 40) / flow_error(sampler, gaussian, 80)
    assert ratio == pytest.approx(4.0, abs=0.6)


def test_forty_heun_steps_have_the_moments_of_the_data(gaussian):
    """From 80, 2e4 samples: mean within 0.01, covariance within 6 % (Frobenius)."""
    half = 80 * normal(10_000, 4, seed=3)
    x = torch.cat([half, -half])  # in pairs, so that the mean carries no noise of the start
    found = sample_heun(gaussian, x, karras_sigmas(40))
    assert float((found.mean(0) - gaussian.mean).abs().max()) < 0.01
    error = torch.linalg.norm(found.T.cov() - gaussian.covariance)
    assert float(error / torch.linalg.norm(gaussian.covariance)) < 0.06


@pytest.mark.parametrize("sampler", [sample_ancestral, sample_euler_maruyama])
def test_stochastic_samplers_have_the_moments_of_the_data(sampler, gaussian):
    """They need about ten times the steps."""
    x = 80 * normal(20_000, 4, seed=3)
    found = sampler(gaussian, x, karras_sigmas(400), seeded(1))
    assert float((found.mean(0) - gaussian.mean).abs().max()) < 0.03
    error = torch.linalg.norm(found.T.cov() - gaussian.covariance)
    assert float(error / torch.linalg.norm(gaussian.covariance)) < 0.06


@pytest.mark.parametrize(("probes", "limit"), [(None, 2e-3), (16, 0.2)])
def test_flow_likelihood_is_the_log_density(gaussian, probes, limit):
    """Exact trace: below 2e-3 nats a dimension, set by the prior N(0, 80^2)."""
    x = draws(gaussian, 64) + 0.002 * normal(64, 4, seed=5)
    sigmas = karras_sigmas(200)[:-1].flip(0)
    found = flow_log_likelihood(gaussian, x, sigmas, probes=probes, generator=seeded())
    exact = gaussian.log_density(x, 0.002)
    assert float((found - exact).abs().mean()) / 4 < limit


def test_hutchinson_error_falls_with_the_root_of_the_probes(gaussian):
    x = draws(gaussian, 256)
    sigmas = karras_sigmas(60)[:-1].flip(0)
    exact = flow_log_likelihood(gaussian, x, sigmas, probes=None)
    few, many = (
        flow_log_likelihood(gaussian, x, sigmas, probes=k, generator=seeded()) - exact
        for k in (1, 16)
    )
    assert float(few.square().mean().sqrt() / many.square().mean().sqrt()) == pytest.approx(4, 0.3)


# --- what scorers rest on -----------------------------------------------------------------------


def test_score_norm_is_chi_square(gaussian):
    """g'(S + s^2) g ~ chi2_d on noisy data: Kolmogorov-Smirnov p > 0.001 at 2e4."""
    sigma = 0.6
    x = draws(gaussian, 20_000) + sigma * normal(20_000, 4, seed=2)
    score = (gaussian(x, sigma) - x) / sigma**2
    metric = gaussian.covariance + sigma**2 * torch.eye(4).double()
    found = torch.einsum("ni,ij,nj->n", score, metric, score)
    assert stats.kstest(found.numpy(), stats.chi2(4).cdf).pvalue > 0.001


def test_score_norm_of_clean_isotropic_data_is_chi_square():
    """||g||^2 (v + s^2)^2 / v ~ chi2_d where no noise was added."""
    v, sigma = 0.25, 0.3
    oracle = GaussianOracle(torch.zeros(4).double(), v * torch.eye(4).double().double())
    x = draws(oracle, 20_000)
    score = (oracle(x, sigma) - x) / sigma**2
    found = score.square().sum(1) * (v + sigma**2) ** 2 / v
    assert stats.kstest(found.numpy(), stats.chi2(4).cdf).pvalue > 0.001


def test_standardised_residual_is_chi_square_and_has_unit_variance(gaussian):
    """r'(s^2 A)^-1 r ~ chi2_d; each coordinate over its own posterior deviation, 1 +- 0.05."""
    sigma = 0.6
    clean = draws(gaussian, 20_000)
    x = clean + sigma * normal(20_000, 4, seed=2)
    residual = clean - gaussian(x, sigma)
    covariance = gaussian.posterior_covariance(sigma)
    found = torch.einsum("ni,ij,nj->n", residual, torch.linalg.inv(covariance), residual)
    assert stats.kstest(found.numpy(), stats.chi2(4).cdf).pvalue > 0.001
    variance = (residual / covariance.diagonal().sqrt()).var(dim=0)
    assert float((variance - 1).abs().max()) < 0.05


def test_a_denoiser_is_not_the_map_of_a_consistency_model():
    """N(0, 0.25) at s = 0.5: the mean has slope 0.50, the map to the end of the flow 0.707."""
    oracle = GaussianOracle(torch.zeros(1).double(), 0.25 * torch.eye(1).double())
    x = normal(100, 1)
    assert float(oracle(x, 0.5)[0] / x[0]) == pytest.approx(0.5)
    assert float(oracle.flow(x, 0.5, 0.0)[0] / x[0]) == pytest.approx(math.sqrt(0.5))
    clean = 0.5 * normal(200_000)
    noisy = clean + 0.5 * normal(200_000, seed=1)
    assert float((noisy @ clean) / (noisy @ noisy)) == pytest.approx(0.5, abs=0.02)
