"""Protocol and Result: the types in which a corpus lists its published folds and results."""

from dataclasses import dataclass

# Said of more than one result.
PRETRAINED = "pretrained without labels on VoxCeleb2"
OTHER_FOLDS = "other folds"
PEOPLE = "people, who had not met the speakers"
HICMAE = "Sun et al. 2024, HiCMAE, Information Fusion"


@dataclass(frozen=True)
class Protocol:
    """Published folds of a corpus.

    Attributes:
        folds: tuple of tuple of str, the test speakers of each.
        speakers: tuple of str, all speakers that the protocol knows, in order.
        validation: tuple of str, its validation speakers; None: those of the next fold.
    """

    folds: tuple
    speakers: tuple
    validation: tuple | None = None


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
