"""`prepare`: decodes and crops every clip into the cache."""

from __future__ import annotations

import argparse


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's arguments."""
    command = commands.add_parser("prepare", help="decode and crop every clip into the cache")
    command.set_defaults(handler=run)
    command.add_argument("--data", default="dataset", help="folder or manifest (dataset/)")
    command.add_argument("--corpus", help="guessed where left out, see dataset/README.md")
    command.add_argument("--features", help="table of action units to join to the clips")
    command.add_argument("--preset", default="cnn3d_mfcc")
    command.add_argument("--modality", choices=("audio", "video", "both"))
    command.add_argument("--face-detector", choices=("auto", "yunet", "haar"), default="auto")
    command.add_argument("--cache", help="folder (default: EMOTION_CACHE, else the user cache)")
    command.add_argument("--workers", type=int, default=2, help="processes (default: 2)")


def run(options: argparse.Namespace) -> None:
    """Fills the cache; names each clip it could not use."""
    from emotion import backend

    backend.start()
    from emotion import models, processes
    from emotion.data import corpora
    from emotion.signals import presence
    from emotion.signals.cache import SignalCache

    clips = corpora.clips(options.data, options.corpus, options.features)
    preset = models.preset(options.preset)
    preset = preset.only(options.modality or preset.modality)
    signals = SignalCache(preset.spec(options.face_detector), options.cache)
    with processes.pool(max(1, options.workers)) as pool:
        facts = signals.prepare(clips, pool)
    lost = {id: held.reason for id, held in facts.items() if held.reason}
    for id, reason in lost.items():
        print(f"{id}: {reason}")
    for line in presence.lines(preset, presence.count(preset, clips, facts)):
        print(line)
    print(f"{len(clips) - len(lost)} of {len(clips)} clips are in {signals.folder}.")
