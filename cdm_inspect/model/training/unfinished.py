"""The files of a run that has not finished: what it needs to go on, and its best weights so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from cdm_inspect.errors import CheckpointMismatch, FileLocked, TrainingError
from cdm_inspect.files import locked, write_durably
from cdm_inspect.model.checkpoint import dump_tensors, parse_tensors
from cdm_inspect.records import JsonObject


class UnfinishedRun:
    """One run of one line; its files say which configuration and data they belong to.

    Args:
        folder: `training/` below that of the model.
        config_sha256: of what may not change between start and resumption.
        data_sha256: of the good parts and their split.
        start_from: id of the model that it fine-tunes; empty where it starts from nothing.
    """

    def __init__(
        self, folder: Path, *, config_sha256: str, data_sha256: str, start_from: str = ""
    ) -> None:
        self.folder = folder
        self.identity: JsonObject = {
            "config_sha256": config_sha256,
            "data_sha256": data_sha256,
            "start_from": start_from,
        }
        self._state, self._best = folder / "state.safetensors", folder / "best.safetensors"

    @property
    def is_there(self) -> bool:
        """Whether there is anything to resume."""
        return self._state.is_file()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training the same line meanwhile.

        Raises:
            TrainingError: if one does so already.
            StorageError: if the folder cannot be written to.
        """
        with ExitStack() as held:
            try:
                held.enter_context(locked(self.folder / ".lock", seconds=0))
            except FileLocked as error:
                raise TrainingError(
                    f"another process is training in {self.folder.parent}. Wait for it or stop it."
                ) from error
            yield

    def clear(self) -> None:
        """Drop what a former run has left."""
        self._state.unlink(missing_ok=True)
        self._best.unlink(missing_ok=True)

    def save(self, tensors: Mapping[str, Tensor], position: JsonObject) -> None:
        """Keep where the run stands."""
        facts = {**self.identity, "position": position}
        write_durably(self._state, dump_tensors(tensors, facts))

    def load(self) -> tuple[dict[str, Tensor], JsonObject]:
        """Tensors and position, as they were saved.

        Raises:
            CheckpointMismatch: if there is nothing, or it belongs to another run.
        """
        try:
            data = self._state.read_bytes()
        except OSError as error:
            raise CheckpointMismatch(
                f"nothing to resume: {self._state} cannot be read ({error.strerror}). "
                "Train without --resume."
            ) from error
        tensors, facts = parse_tensors(data, self._state)
        if facts.get("data_sha256") != self.identity["data_sha256"]:
            raise CheckpointMismatch(
                "the unfinished run was trained on other images than are there now. Restore them, "
                "or train without --resume."
            )
        if facts.get("config_sha256") != self.identity["config_sha256"]:
            raise CheckpointMismatch(
                "the unfinished run had another configuration. Only training.budget and "
                "training.images may change; restore the rest, or train without --resume."
            )
        if facts.get("start_from") != self.identity["start_from"]:
            raise CheckpointMismatch(
                "the model that the unfinished run started from has been replaced. Restore it, or "
                "train without --resume."
            )
        return tensors, dict(facts["position"])

    def keep_best(self, weights: Mapping[str, Tensor]) -> None:
        """Keep weights that are better than all before."""
        write_durably(self._best, dump_tensors(weights, self.identity))

    def best(self) -> dict[str, Tensor]:
        """The best weights.

        Raises:
            CheckpointMismatch: if they are not there, or not of this run.
        """
        try:
            tensors, facts = parse_tensors(self._best.read_bytes(), self._best)
        except OSError as error:
            raise CheckpointMismatch(
                f"the best weights of this run, {self._best}, cannot be read ({error.strerror}). "
                "Train again."
            ) from error
        if facts != self.identity:
            raise CheckpointMismatch(
                f"{self._best} belongs to another run, although none may share its folder. Train "
                "again."
            )
        return tensors


def gather_state(
    denoiser: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """Weights, averaged weights and the moments of Adam, by name."""
    tensors = {f"now.{k}": v for k, v in denoiser.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    names = [name for name, _ in denoiser.named_parameters()]
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            tensors[f"adam.{key}.{names[index]}"] = torch.as_tensor(value)
    return tensors


def restore_state(
    tensors: Mapping[str, Tensor],
    denoiser: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Put back what `gather_state` returned.

    Raises:
        KeyError: if tensors are missing.
        RuntimeError: if they have other shapes.
    """
    denoiser.load_state_dict(_under("now.", tensors))
    average.load_state_dict(_under("average.", tensors))
    state = optimizer.state_dict()
    for index, (name, _) in enumerate(denoiser.named_parameters()):
        state["state"][index] = {
            key: tensors[f"adam.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")
        }
    optimizer.load_state_dict(state)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
