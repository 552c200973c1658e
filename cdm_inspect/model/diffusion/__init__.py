"""The consistent diffusion model: noise, network, denoiser, objective, samplers."""

from cdm_inspect.model.diffusion.denoiser import ConsistentDenoiser, count_parameters, pixel_grid
from cdm_inspect.model.diffusion.diagnostics import (
    Asymmetry,
    flow_log_likelihood,
    jacobian_asymmetry,
    martingale_gap,
    u_statistic,
)
from cdm_inspect.model.diffusion.masking import (
    OPEN_SIGMA,
    checkerboard,
    draw_masked_sigma,
    masked_sigma,
)
from cdm_inspect.model.diffusion.network import LABEL_SIZE, PRESETS, NetworkSize, UNet
from cdm_inspect.model.diffusion.noise import (
    SIGMA_MAX,
    SIGMA_MIN,
    Preconditioning,
    draw_sigma,
    dsm_weight,
    karras_sigmas,
    training_sigma,
)
from cdm_inspect.model.diffusion.objective import (
    Losses,
    Objective,
    consistency_product,
    gaussian_nll,
)
from cdm_inspect.model.diffusion.oracles import GaussianOracle, MixtureOracle
from cdm_inspect.model.diffusion.reverse import ancestral_step, euler_maruyama_step
from cdm_inspect.model.diffusion.sampling import (
    SAMPLERS,
    MeanFunction,
    sample_ancestral,
    sample_dpm_solver,
    sample_euler_maruyama,
    sample_heun,
)
from cdm_inspect.model.diffusion.tiling import Tile, TiledDenoiser, tiles

__all__ = [
    "LABEL_SIZE",
    "OPEN_SIGMA",
    "PRESETS",
    "SAMPLERS",
    "SIGMA_MAX",
    "SIGMA_MIN",
    "Asymmetry",
    "ConsistentDenoiser",
    "GaussianOracle",
    "Losses",
    "MeanFunction",
    "MixtureOracle",
    "NetworkSize",
    "Objective",
    "Preconditioning",
    "Tile",
    "TiledDenoiser",
    "UNet",
    "ancestral_step",
    "checkerboard",
    "consistency_product",
    "count_parameters",
    "draw_masked_sigma",
    "draw_sigma",
    "dsm_weight",
    "euler_maruyama_step",
    "flow_log_likelihood",
    "gaussian_nll",
    "jacobian_asymmetry",
    "karras_sigmas",
    "martingale_gap",
    "masked_sigma",
    "pixel_grid",
    "sample_ancestral",
    "sample_dpm_solver",
    "sample_euler_maruyama",
    "sample_heun",
    "tiles",
    "training_sigma",
    "u_statistic",
]
