"""From clips to decoded signals: the cache, augmentation, perturbation, presence."""
