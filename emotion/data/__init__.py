"""Data on disk: corpora, labels, speaker-disjoint splits, checks, downloads."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, ["corpora", "splits"])
