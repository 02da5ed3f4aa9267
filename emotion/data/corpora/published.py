"""Published: what others report under speaker-disjoint protocols, to be put beside a run.

Sources are numbered as in docs/protocols.md.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """A published result.

    Attributes:
        system: str, who or what was scored.
        war: float, accuracy in %.
        modality: str, "audio", "video" or "both".
        protocol: str, a name of `splits.PROTOCOLS`, or None where its folds are others.
        conditions: str, what to know before comparing.
        source: str.
    """

    system: str
    war: float
    modality: str
    protocol: str | None
    conditions: str
    source: str


_HICMAE = "Sun et al. 2024, HiCMAE, Information Fusion"
_LUNA = "Luna-Jiménez et al. 2022, Applied Sciences 12(1)"
_VQMAE = "Sadok et al. 2023, VQ-MAE-AV"
_CAO = "Cao et al. 2014, IEEE Transactions on Affective Computing 5(4)"
_PRETRAINED = "pretrained without labels on VoxCeleb2"
_OWN = "other folds"
_PEOPLE = "people, who had not met the speakers"
RAVDESS = (
    Result("HiCMAE-B", 87.99, "both", "ravdess-6fold", _PRETRAINED, _HICMAE),
    Result(
        "wav2vec 2.0 and action units",
        86.70,
        "both",
        "ravdess-5fold",
        "encoder pretrained on other people's speech",
        _LUNA,
    ),
    Result("VQ-MAE-AV", 84.8, "both", None, f"{_PRETRAINED}; {_OWN}", _VQMAE),
    Result("MultiMAE-DER", 83.61, "both", None, f"{_PRETRAINED}; {_OWN}", "Xiang et al. 2024"),
    Result(
        "intermediate attention fusion",
        81.58,
        "both",
        None,
        f"face encoder pretrained on stills; {_OWN}",
        "Chumachenko et al. 2022, ICPR",
    ),
    Result(
        "transfer learning",
        80.08,
        "both",
        "ravdess-5fold",
        "encoders pretrained on other sounds and faces",
        "Luna-Jiménez et al. 2021, Sensors 21(22)",
    ),
    Result("wav2vec 2.0", 81.82, "audio", "ravdess-5fold", "pretrained, as above", _LUNA),
    Result("BiLSTM on action units", 62.13, "video", "ravdess-5fold", "", _LUNA),
    Result("MLP on action units", 60.22, "video", "ravdess-5fold", "", _LUNA),
    Result("people", 67.0, "audio", None, f"{_PEOPLE}; as printed in the source", _LUNA),
    Result("people", 75.0, "video", None, f"{_PEOPLE}; as printed in the source", _LUNA),
)
CREMA_D = (
    Result("HiCMAE", 84.9, "both", "cremad-5fold", _PRETRAINED, _HICMAE),
    Result("VAVL", 82.6, "both", None, _OWN, "Goncalves et al. 2024, VAVL"),
    Result("VQ-MAE-AV", 80.4, "both", None, f"{_PRETRAINED}; {_OWN}", _VQMAE),
    Result("people", 63.6, "both", None, f"{_PEOPLE}; against the intended label", _CAO),
    Result("people", 58.2, "video", None, f"{_PEOPLE}; against the intended label", _CAO),
    Result("people", 40.9, "audio", None, f"{_PEOPLE}; against the intended label", _CAO),
)


def results(measured):
    """Lists what is published on the task that an evaluation was of.

    Args:
        measured: dict, what metrics.json holds.

    Returns:
        List of Result, those with the same folds first. All are of speech, with all classes of the
        corpus and intended labels: empty where one of these is otherwise, for then no number can
        be compared.

    >>> measured = {"labels": "abcdef", "label_target": "intended", "groups": {}}
    >>> [one.system for one in results({**measured, "protocol": "cremad-5fold"})][:2]
    ['HiCMAE', 'VAVL']
    """
    known = {"ravdess": (RAVDESS, 8), "cremad": (CREMA_D, 6)}
    found, classes = known.get(measured["protocol"].partition("-")[0], ((), None))
    channels = measured["groups"].get("channel", {"groups": ()})["groups"]
    alike = len(measured["labels"]) == classes and measured["label_target"] == "intended"
    if not alike or {*channels} - {"speech"}:
        return []
    return sorted(found, key=lambda one: one.protocol != measured["protocol"])
