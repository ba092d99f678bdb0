"""Fills `messages.CATALOGUE`: the sentences of every part, a file a part, both languages side by side.

Every module of this package is read: a new part's sentences are there as soon as its file is.
"""

from importlib import import_module
from pkgutil import iter_modules

for _part in iter_modules(__path__):
    import_module(f"{__name__}.{_part.name}")
