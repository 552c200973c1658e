"""What a project file may say, checked, and every text of the product in two languages."""

import lazy_loader

# The names stand in __init__.pyi; each is loaded once it is asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
