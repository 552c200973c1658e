"""Hooks for plugins, what they promise and offer, and the registry that loads them.

Authors of plugins import from here: `from cdm_inspect.plugins import ScorerOffer, hookimpl`.
"""

import lazy_loader

# The names stand in __init__.pyi; each is loaded once it is asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
