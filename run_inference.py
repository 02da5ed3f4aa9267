"""Annotates a video with the emotions that a run predicts: `--video_path clip.mp4`, or `--live`."""

import sys

from emotion.cli.annotate import main

if __name__ == "__main__":
    sys.exit(main())
