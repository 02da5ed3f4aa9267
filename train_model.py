"""Trains a preset on a folder of clips: `python train_model.py --data dataset`."""

import sys

from emotion.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
