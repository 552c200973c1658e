"""Hooks for plugins, and the registry that loads them."""

from cdm_inspect.hooks.registry import PluginRow, Registry, build_options
from cdm_inspect.hooks.specs import PROJECT, Hooks, hookimpl, hookspec

__all__ = ["PROJECT", "Hooks", "PluginRow", "Registry", "build_options", "hookimpl", "hookspec"]
