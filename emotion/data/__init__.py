"""What is on disk: corpora and their labels, splits without shared speakers, checks, downloads."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, ["corpora", "splits"])
