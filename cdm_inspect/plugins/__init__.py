"""Hooks for plugins, and the registry that loads them."""

from cdm_inspect.plugins.hooks import PROJECT, Hooks, hookimpl, hookspec
from cdm_inspect.plugins.offers import PluginRow
from cdm_inspect.plugins.registry import Registry, build_options

__all__ = ["PROJECT", "Hooks", "PluginRow", "Registry", "build_options", "hookimpl", "hookspec"]
