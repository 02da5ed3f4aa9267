"""Tables and pickles that were damaged at random: read, or refused in one line."""

import os
import pickle
import random

import fuzz
import numpy as np
import pytest

from emotion.clip import MediaError
from emotion.data import corpora, feature_tables, labels
from emotion.data.log_mel_table import LogMelTable
from emotion.evaluation import scores

CASES = int(os.environ.get("EMOTION_FUZZ_TABLES", "150"))  # of each kind
STEMS = [f"01-01-0{emotion}-01-01-01-0{actor}" for emotion in (1, 3, 4) for actor in (1, 2)]
HEADER = ",".join(feature_tables.ACTION_UNITS)


def pickled(folder):
    rows = {stem: np.random.default_rng(0).normal(size=294) for stem in STEMS}
    rows |= {f"{stem}-list": [0.5] * 294 for stem in STEMS[:2]}
    (folder / "a.pkl").write_bytes(pickle.dumps(rows))
    return folder / "a.pkl", lambda path: dict(feature_tables.read(path))


def means(folder):
    lines = [f"{stem}," + ",".join(["0.5"] * 35) for stem in STEMS]
    (folder / "a.csv").write_text("\n".join([f"clip,{HEADER}", *lines]), encoding="utf-8")
    return folder / "a.csv", lambda path: dict(feature_tables.read(path))


def scored(folder):
    names = ",".join(labels.RAVDESS)
    lines = [f"{stem}.mp4,0.5" + ",0.0625" * 6 + ",0.125" for stem in STEMS]
    text = "\n".join([f"file,{names}", *lines])
    (folder / "a.csv").write_text(text, encoding="utf-8")
    return folder / "a.csv", lambda path: scores.read(path, "ravdess")


def manifest(folder):
    for stem in STEMS:
        (folder / f"{stem}.wav").touch()
    lines = [f"sad,{index},{stem}.wav" for index, stem in enumerate(STEMS)]
    (folder / "a.csv").write_text("\n".join(["label,speaker,audio", *lines]), encoding="utf-8")
    return folder / "a.csv", lambda path: corpora.clips(path)


def pictures(folder):
    pixels = " ".join(["7"] * 48 * 48)
    lines = [
        f"{index % 7},{pixels},{usage}"
        for index in range(4)
        for usage in ("Training", "PublicTest")
    ]
    (folder / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *lines]), "utf-8")
    return folder / "fer2013.csv", lambda path: corpora.clips(path, "fer2013")


def log_mel(folder):
    names = np.array([f"100{k}_IEO_HAP_HI" for k in range(4)])
    values = np.zeros((4, 112, 20), np.int8)
    np.savez(folder / "a.npz", clips=names, values=values, scale=np.float32(0.03))

    def read(path):
        table = LogMelTable(path)
        return [table[id] for id in table]

    return folder / "a.npz", read


@pytest.mark.parametrize("kind", [pickled, means, scored, manifest, pictures, log_mel])
def test_what_is_damaged_is_refused_in_a_line_or_read(kind, tmp_path):
    path, read = kind(tmp_path)
    assert read(path)
    whole, refused = path.read_bytes(), 0
    for seed in range(CASES):
        chance, content = random.Random(seed), bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            if content:
                chance.choice((fuzz.flip, fuzz.forge, fuzz.truncate, fuzz.repeat, fuzz.swap))(
                    content, chance
                )
        path.write_bytes(content)
        try:
            read(path)
        except (ValueError, FileNotFoundError, MediaError) as error:
            refused += 1
            assert path.name in str(error), seed
        except BaseException:
            print("seed", seed)
            raise
    assert refused > CASES / 10
