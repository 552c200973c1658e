"""A model of anomalib as a scorer: trained by its Engine on the parts that a line trains on."""

from __future__ import annotations

import hashlib
import inspect
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import safetensors.torch
import torch
from anomalib.data import ImageBatch, ImageItem
from anomalib.engine import Engine
from anomalib.models.components import AnomalibModule
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from cdm_inspect.errors import CheckpointMismatch, ConfigError
from cdm_inspect.plugins import ScoreBatch
from cdm_inspect_anomalib import AnomalibOptions

_DIGEST = "starting_weights_sha256"
_TALKATIVE = ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero", "anomalib")


class AnomalibScorer:
    """See `contracts.TrainedScorer`.

    Images become RGB in [0, 1]; what the model's own pre-processor does to them in training, it
    does in scoring. Scores and maps are the model's own, which grow with oddness.
    """

    def __init__(self, options: AnomalibOptions) -> None:
        self.options = options
        self.model = self._untrained()

    def learn(self, images: Tensor) -> None:
        """Train anew, from the same weights."""
        with _seeded(self.options.seed), _quiet(), tempfile.TemporaryDirectory() as folder:
            self.model = self._untrained().train()
            engine = Engine(
                max_epochs=self.options.epochs,
                default_root_dir=folder,
                accelerator="auto",
                devices=1,
                logger=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                barebones=False,
            )
            loader = DataLoader(
                _Parts(_as_rgb(images)),
                batch_size=min(self.options.batch_size, len(images)),
                shuffle=True,
                drop_last=len(images) % self.options.batch_size == 1,  # batch norms need two
                collate_fn=ImageBatch.collate,
            )
            engine.fit(model=self.model, train_dataloaders=loader)
        self.model.cpu().eval()

    @torch.inference_mode()
    def score(self, images: Tensor, *, seeds: Sequence[int]) -> ScoreBatch:
        """Scores and maps, the maps at the size of the images."""
        self.model.to(images.device).eval()
        found = self.model.model(self.model.pre_processor(_as_rgb(images)))
        scores = found.pred_score.flatten()
        maps = found.anomaly_map
        if maps is None:
            maps = scores[:, None, None, None].expand(-1, 1, *images.shape[2:])
        maps = maps.reshape(len(images), 1, *maps.shape[-2:]).float()
        maps = functional.interpolate(maps, images.shape[2:], mode="bilinear")[:, 0]
        return ScoreBatch(scores=scores.float(), maps=maps)

    def state(self) -> Mapping[str, Any]:
        """What training has changed, and a digest of the rest, which comes back from the seed."""
        before = self._untrained().state_dict()
        changed = {
            name: values.detach().cpu().numpy()
            for name, values in self.model.state_dict().items()
            if name not in before or not torch.equal(before[name].cpu(), values.cpu())
        }
        return {_DIGEST: _digest_of(before), **changed}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` returned; memories have grown to sizes of their own."""
        self.model = self._untrained()
        if not np.array_equal(state[_DIGEST], _digest_of(self.model.state_dict())):
            raise CheckpointMismatch(
                f"the weights that {self.options.model} starts from are not those that the line "
                "was calibrated with: another file of backbone_weights, or another version of "
                "torch or timm. Restore them, or run `cdm-inspect calibrate`."
            )
        for name, values in state.items():
            if name == _DIGEST:
                continue
            owner, _, own = name.rpartition(".")
            module, tensor = self.model.get_submodule(owner), torch.from_numpy(np.array(values))
            if own in module._parameters:
                module._parameters[own] = torch.nn.Parameter(tensor, requires_grad=False)
            else:
                module._buffers[own] = tensor
        self.model.eval()

    def _untrained(self) -> AnomalibModule:
        """The model as the seed makes it, and the feature extractor as a file does."""
        options = self.options
        with _seeded(options.seed), _quiet():
            kind = _kind_of(options.model)
            takes = inspect.signature(kind).parameters
            given = {"visualizer": False, "evaluator": False, "post_processor": False}
            if "pre_trained" in takes:
                given["pre_trained"] = False  # that would be a download
            if unknown := set(options.arguments) - set(takes):
                raise ConfigError(
                    f"{kind.__name__} takes no {', '.join(sorted(unknown))}; it takes "
                    f"{', '.join(sorted(takes))}."
                )
            model = kind(**{**given, **options.arguments})
        if options.backbone_weights is not None:
            _load_backbone(model, options)
        return model.eval()


def _digest_of(weights: Mapping[str, Tensor]) -> Any:
    """SHA-256 over all weights, as an array of 32 bytes."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(weights[name].cpu().numpy()).tobytes())
    return np.frombuffer(digest.digest(), np.uint8)


class _Parts(Dataset[ImageItem]):
    """Good parts, in memory."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> ImageItem:
        return ImageItem(image=self.images[index], gt_label=torch.tensor(0))


def _kind_of(name: str) -> type[AnomalibModule]:
    import anomalib.models

    kinds: dict[str, type[AnomalibModule]] = {
        known.lower().replace("_", ""): getattr(anomalib.models, known)
        for known in anomalib.models.__all__
        if inspect.isclass(getattr(anomalib.models, known, None))
        and issubclass(getattr(anomalib.models, known), AnomalibModule)
    }
    wanted = name.lower().replace("_", "").replace("-", "")
    if wanted not in kinds:
        raise ConfigError(f"anomalib has no model {name!r}; it has {', '.join(sorted(kinds))}.")
    return kinds[wanted]


def _load_backbone(model: AnomalibModule, options: AnomalibOptions) -> None:
    """Give the model's feature extractor the weights of a file."""
    extractor = getattr(model.model, "feature_extractor", None)
    backbone = getattr(extractor, "feature_extractor", extractor)
    if backbone is None:
        raise ConfigError(f"{options.model} has no feature extractor to load weights into.")
    try:
        weights = safetensors.torch.load_file(str(options.backbone_weights))
    except (OSError, safetensors.SafetensorError) as error:
        raise ConfigError(f"backbone_weights: {options.backbone_weights}: {error}.") from error
    missing = backbone.load_state_dict(weights, strict=False).missing_keys
    if missing:
        raise ConfigError(
            f"{options.backbone_weights} lacks {len(missing)} tensors of the backbone, such as "
            f"{missing[0]}. Name the file of the same backbone."
        )


def _as_rgb(images: Tensor) -> Tensor:
    shifted = (images + 1) / 2
    return shifted.expand(-1, 3, -1, -1) if images.shape[1] == 1 else shifted


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng():
        state = np.random.get_state()
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(state)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Lightning tells of itself."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
