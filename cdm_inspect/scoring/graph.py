"""What is exported: one module from photograph to score, p-value, heat map and restoration.

It adds nothing to what the product does. Preparation, levelling, scorer and floor are the very
functions that score in training's world; tracing follows them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cdm_inspect.images import Preparation
from cdm_inspect.scoring.line_scorer import LineScorer


class ScoringGraph(nn.Module):
    """See `contracts.ExportedGraph`; outputs in the order of `contracts.GraphOutputs`.

    The last is there if the scorer restores something.

    Args:
        network: the denoiser that the scorer asks, so that its weights are those of the module.
        preparation: of photographs.
        scores: of held-out good parts.
    """

    known: Tensor

    def __init__(
        self,
        network: nn.Module,
        scorer: LineScorer,
        preparation: Preparation,
        scores: Sequence[float],
    ) -> None:
        super().__init__()
        self.network = network
        self.scorer, self.preparation = scorer, preparation
        self.register_buffer("known", torch.tensor(scores, dtype=torch.float32))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Score photographs, (batch, height, width, channels) uint8 or uint16."""
        prepared = self.scorer.level_outside(self.preparation.scaled(images.float(), torch))
        # Whoever needs seeds cannot be traced; a scorer that uses them fails here, and says so.
        found = self.scorer.scorer.score(prepared, seeds=())
        found = self.scorer.floor_outside(found)
        # The conformal p-value; see `calibration.conformal_p_value`.
        at_least = (self.known >= found.scores[:, None]).sum(dim=1)
        p_values = (1 + at_least).float() / (len(self.known) + 1)
        restored = () if found.restored is None else (found.restored,)
        return found.scores, p_values, found.maps, prepared, *restored
