"""The consistent diffusion model as a model of anomalib.

    from anomalib.data import Folder
    from anomalib.engine import Engine
    from cdm_inspect_anomalib.module import Cdm

    engine = Engine()
    engine.fit(Cdm(budget="15m"), datamodule=Folder(...))

As with PatchCore, anomalib's epoch only collects the good images; what is learnt is learnt at its
end, by the same training as `cdm-inspect train` and against a budget of its own.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np
import torch
from anomalib import LearningType
from anomalib.data import Batch, InferenceBatch
from anomalib.models.components import AnomalibModule, MemoryBankMixin
from anomalib.pre_processing import PreProcessor
from torch import Tensor, nn
from torchvision.transforms.v2 import Compose, Resize

from cdm_inspect import Detector
from cdm_inspect.errors import CheckpointMismatch
from cdm_inspect.records import TrainingTick

_log = logging.getLogger(__name__)
_TOLD_EVERY_SECONDS = 10.0


class CdmModel(nn.Module):
    """Scores images, once something has been learnt.

    Attributes:
        detector: what was learnt; None before. It is kept in the state of the module as bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.detector: Detector | None = None

    def forward(self, images: Tensor) -> InferenceBatch:
        """Scores (batch,) and maps (batch, 1, height, width) of images in [0, 1]."""
        if self.detector is None:
            raise CheckpointMismatch("nothing has been learnt yet. Run `Engine().fit(...)` first.")
        arrays = _as_arrays(images, self.detector.card.preparation.channels)
        found = self.detector.to(images.device).score(arrays)
        return InferenceBatch(
            pred_score=found.scores.to(images.device),
            anomaly_map=found.maps[:, None].to(images.device),
        )

    def get_extra_state(self) -> Tensor:
        """For checkpoints of Lightning; plain bytes in a tensor."""
        data = b"" if self.detector is None else self.detector.to_bytes()
        return torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0)

    def set_extra_state(self, state: Tensor) -> None:
        """Take it back."""
        self.detector = Detector.from_bytes(state.cpu().numpy().tobytes()) if len(state) else None


class Cdm(MemoryBankMixin, AnomalibModule):  # type: ignore[misc]  # anomalib is untyped
    """Consistent diffusion, learnt from good images alone, without pretrained weights.

    Args:
        budget: time of training, such as "15m".
        images: number of images to see instead, such as "200k".
        preset: "tiny", "small" or "base".
        scorer: of cdm-inspect.
        settings: what else a line may say in the project file.
        pre_processor: True resizes to 128 x 128. One's own may do anything that leaves images in
            [0, 1] with height and width divisible by 8.
        post_processor: see `AnomalibModule`.
        evaluator: see `AnomalibModule`.
        visualizer: see `AnomalibModule`.
    """

    def __init__(
        self,
        budget: str = "20m",
        images: str | None = None,
        preset: str = "small",
        scorer: str = "fused",
        settings: dict[str, Any] | None = None,
        pre_processor: Any = True,
        post_processor: Any = True,
        evaluator: Any = True,
        visualizer: Any = True,
    ) -> None:
        super().__init__(
            pre_processor=pre_processor,
            post_processor=post_processor,
            evaluator=evaluator,
            visualizer=visualizer,
        )
        settings = dict(settings or {})
        training = {**settings.pop("training", {}), "budget": budget}
        if images is not None:
            training["images"] = images
        self.scorer = scorer
        self.settings = {"preset": preset, **settings, "training": training}
        self.model = CdmModel()
        self._collected: list[Tensor] = []

    @staticmethod
    def configure_pre_processor(image_size: tuple[int, int] | None = None) -> PreProcessor:
        """Resize, and nothing else: images stay in [0, 1]."""
        return PreProcessor(transform=Compose([Resize(image_size or (128, 128), antialias=True)]))

    @staticmethod
    def configure_optimizers() -> None:
        """None: nothing is optimised during anomalib's epoch."""

    @property
    def trainer_arguments(self) -> dict[str, Any]:
        """One epoch, and nothing to check before it."""
        return {"gradient_clip_val": 0, "max_epochs": 1, "num_sanity_val_steps": 0, "devices": 1}

    @property
    def learning_type(self) -> LearningType:
        """From good images alone."""
        return LearningType.ONE_CLASS

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Tensor:
        """Collect."""
        self._collected.append(batch.image.cpu())
        return torch.tensor(0.0, requires_grad=True, device=self.device)

    def fit(self) -> None:
        """Learn from what was collected."""
        images, self._collected = torch.cat(self._collected), []
        is_grey = images.shape[1] == 1 or bool((images == images[:, :1]).all())
        told_at = -_TOLD_EVERY_SECONDS

        def tell(tick: TrainingTick) -> None:
            nonlocal told_at
            if time.monotonic() - told_at > _TOLD_EVERY_SECONDS:
                told_at = time.monotonic()
                _log.info("cdm: %.0f %%, dsm %.4f", 100 * tick.progress, tick.loss_dsm)

        # Validation begins without gradients, and in a mode whose tensors never get any.
        with torch.inference_mode(False), torch.enable_grad():
            self.model.detector = Detector.learn(
                _as_arrays(images, 1 if is_grey else 3),
                settings=self.settings,
                scorer=self.scorer,
                device=str(self.device),
                tick=tell,
            )

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Score a batch."""
        return batch.update(**self.model(batch.image)._asdict())


def _as_arrays(images: Tensor, channels: int) -> np.ndarray[Any, Any]:
    """Images in [0, 1] as the detector takes them."""
    arrays = 2 * images[:, :channels].detach().cpu().float() - 1
    return np.ascontiguousarray(arrays.clamp(-1, 1).numpy(), np.float32)
