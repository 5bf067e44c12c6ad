"""Which samples of a dataset are taken: a stratified draw, since files are mostly sorted by class."""

from collections.abc import Hashable, Sequence

import numpy as np

from workers.calibration.samples import Numbers


def draw_strata(strata: Sequence[Hashable], count: int, rng: np.random.Generator) -> Numbers:
    """`count` positions of `strata` (n,), ascending: of every stratum its share, rounded by the largest remainders.

    Which stratum gets a place among equal remainders, and which of its members are taken, `rng` draws.
    """
    n = len(strata)
    if count >= n:
        return np.arange(n)
    names = {stratum: number for number, stratum in enumerate(dict.fromkeys(strata))}
    member = np.array([names[stratum] for stratum in strata])
    wanted = np.bincount(member) * (count / n)
    places = np.floor(wanted).astype(np.int64)
    order = np.lexsort((rng.random(len(places)), places - wanted))
    places[order[: count - int(places.sum())]] += 1
    shuffled = rng.permutation(n)
    ordered = shuffled[np.argsort(member[shuffled], kind="stable")]  # by stratum, in random order within
    starts = np.concatenate([[0], np.cumsum(np.bincount(member))[:-1]])
    taken = [ordered[start : start + place] for start, place in zip(starts, places, strict=True)]
    return np.sort(np.concatenate(taken)).astype(np.int64)
