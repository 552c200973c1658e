"""A project directory: its configuration, plugins, folders and store. Loads without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from cdm_inspect.config import ProjectConfig, load_project
from cdm_inspect.errors import StorageError, attribute_to_plugin
from cdm_inspect.plugins import Registry, StoreOffer, StoreUpkeep, VerdictStore, build_options


@dataclass(frozen=True, kw_only=True)
class Project:
    """An opened project."""

    root: Path
    config: ProjectConfig
    registry: Registry

    def path(self, text: str) -> Path:
        """A path of the project file; relative ones count from the project directory."""
        return self.root / text

    def model_folder(self, line: str) -> Path:
        """Where the model of a line is."""
        return self.root / "models" / line

    def calibration_folder(self, line: str) -> Path:
        """Where the calibrations of a line are: beside the model, never inside it."""
        return self.model_folder(line) / "calibration"

    def export_folder(self, line: str, name: str) -> Path:
        """Where what was exported of a line under a name is."""
        return self.root / "exports" / line / name

    def manifest_file(self, line: str) -> Path:
        """Where it says which good parts of a line belong together, and which are excluded."""
        return self.root / "manifests" / f"{line}.csv"

    def open_store(self) -> VerdictStore:
        """The store that the project names; use it as a context manager."""
        offer = self.registry.named(StoreOffer, self.config.store.backend)
        options = self._store_options(offer)
        failed = f"the store {offer.name!r} cannot be opened: {{error}}. Nothing was recorded."
        with attribute_to_plugin(StorageError, failed):
            return offer.open(options, self.root)

    def store_upkeep(self) -> StoreUpkeep:
        """What keeps the store in order.

        Raises:
            StorageError: if the store is one that nothing can be done for.
        """
        offer = self.registry.named(StoreOffer, self.config.store.backend)
        if offer.upkeep is None:
            raise StorageError(
                f"the store {offer.name!r} brings no commands of its own for this. Ask its author."
            )
        return offer.upkeep(self._store_options(offer), self.root)

    def _store_options(self, offer: StoreOffer) -> BaseModel:
        store = self.config.store
        # A store is called with what it asks for by name, and the options of its own.
        common = {"url": store.url, "images": store.images, "anchor": store.anchor}
        asked = {key: common[key] for key in common if key in offer.options.model_fields}
        return build_options(offer, {**asked, **store.options}, "store.options")


def open_project(root: Path, *, overrides: Sequence[str] = (), line: str | None = None) -> Project:
    """Read the project file, load the plugins, and merge the line's own file and overrides.

    Raises:
        ConfigError: if there is no project file, or it has mistakes.
        PluginUnavailable: if a required plugin is missing.
    """
    root = root.resolve()
    base = load_project(root)
    registry = Registry(base.plugins)
    own = registry.line_file(line, root) if line is not None else None
    files = {line: own} if line is not None and own is not None else {}
    config = load_project(root, line_files=files, overrides=overrides, line=line)
    if line is not None:
        config.line(line)
    return Project(root=root, config=config, registry=registry)
