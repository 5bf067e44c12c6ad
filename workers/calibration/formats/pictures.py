"""Labels that are pictures themselves: masks beside images, and folders in pairs (noisy and clean, small and large)."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from workers.annotations import TargetKind
from workers.calibration.formats.listing import ROLES, Annotation, FileListing, class_list, labels_beside, stem

MASKS = frozenset("mask masks annotations annotation segmentation segmentationclass labels_mask gt_masks".split())
WANTED = frozenset("target targets clean gt groundtruth ground_truth high hr output outputs".split())


def labels_among(images: Sequence[str]) -> frozenset[str]:
    """The pictures that label others: in a folder of masks or of wanted pictures, and called as one outside."""
    apart = [name for name in images if (MASKS | WANTED) & set(map(str.lower, PurePosixPath(name).parts[:-1]))]
    outside = {stem(name) for name in set(images) - set(apart)}
    return frozenset(name for name in apart if stem(name) in outside)


def find_masks(listing: FileListing) -> Annotation | None:
    """Pictures in a folder `masks` that are called as those beside it."""
    found = _paired(listing, MASKS)
    return Annotation(TargetKind.MAP, found, class_list(listing), len(found), "masks") if found else None


def find_pairs(listing: FileListing) -> Annotation | None:
    """Pictures in a folder `target` (or clean, gt, high) that are called as those beside it."""
    found = _paired(listing, WANTED)
    return Annotation(TargetKind.IMAGE, found, (), len(found), "paired folders") if found else None


def _paired(listing: FileListing, folders: frozenset[str]) -> dict[str, str]:
    """The picture that labels another, by the name of the latter."""
    labels = sorted(name for name in listing.labels if folders & set(map(str.lower, PurePosixPath(name).parts[:-1])))
    return labels_beside(listing.images, labels, ROLES | folders)
