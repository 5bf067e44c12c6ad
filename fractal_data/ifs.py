"""Iterated function systems: affine maps of the plane whose attractor is a fractal.

A code is an array (n, 2, 3): n maps z -> A z + t, each stored as [A | t]. Codes follow Anderson and Farrell, "Improving
Fractal Pre-training" (WACV 2022): A = R(theta) diag(s1, s2) R(phi) with random reflections and singular values
CONTRACTION >= s1 >= s2 >= 0, so that every map contracts, and with a prescribed sigma-factor sum(s1 + 2 s2), which governs
how well the attractor fills the plane.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Cloud = NDArray[np.float32]
Factor = NDArray[np.float32] | np.float32

CONTRACTION = 0.98  # the largest singular value; the paper allows 1, where a chain may stand still
BURN_IN = 8  # steps that spread the chains, which start at one point of the attractor
LEAST_PROBABILITY = 0.02  # a degenerate map (det 0) is still drawn


def sample_code(rng: np.random.Generator, maps: int) -> Array:
    """A random code (maps, 2, 3) with a sigma-factor in [(5 + maps) / 2, (6 + maps) / 2) and translations in [-1, 1)."""
    singular = sample_singular_values(rng, maps, rng.uniform((5 + maps) / 2, (6 + maps) / 2))
    signs = rng.integers(0, 2, (maps, 2)) * 2 - 1
    left, right = rotations(rng, maps), rotations(rng, maps)
    linear = (left * (singular * signs)[:, None, :]) @ right
    return np.concatenate([linear, rng.uniform(-1, 1, (maps, 2, 1))], axis=2)


def sample_singular_values(rng: np.random.Generator, maps: int, total: float) -> Array:
    """Pairs s1 >= s2 (maps, 2) in [0, CONTRACTION] with sum(s1 + 2 s2) = `total`, which is at most 3 CONTRACTION maps."""
    values = []
    most = 3 * CONTRACTION
    for others, (first, second) in zip(range(maps)[::-1], rng.random((maps, 2)).tolist(), strict=True):
        low, high = max(0.0, total - most * others), min(most, total)
        share = low + first * (high - low)
        low, high = max(0.0, (share - CONTRACTION) / 2), share / 3
        smaller = low + second * (high - low)
        values.append((share - 2 * smaller, smaller))
        total -= share
    return np.array(values)


def sigma_factor(code: Array) -> float:
    """sum(s1 + 2 s2) over the maps of `code` (n, 2, 3)."""
    return float(np.sum(np.linalg.svd(code[:, :, :2], compute_uv=False) * (1, 2)))


def probabilities(code: Array) -> Array:
    """How often the chaos game draws each map (n,): in proportion to the area it keeps, |det A|."""
    kept = area(code)
    share = np.maximum(kept / max(kept.sum(), np.finfo(float).tiny), LEAST_PROBABILITY)
    return np.asarray(share / share.sum())


def fixed_point(affine: Array) -> Array:
    """The point (2,) that one map (2, 3) leaves where it is; it belongs to the attractor of every code with that map."""
    (a, b, e), (c, d, f) = affine
    return np.asarray(np.array([(1 - d) * e + b * f, c * e + (1 - a) * f]) / ((1 - a) * (1 - d) - b * c))


def chaos_game(rng: np.random.Generator, code: Array, chains: int, steps: int) -> Cloud:
    """Points (2, steps * chains) of the attractor of `code`, drawn by `chains` parallel chains.

    Instead of drawing a map per chain, every step applies the maps to contiguous blocks of chains, whose lengths are the
    probabilities, and shuffles the chains in between: the same process without a gather of coefficients.
    """
    ends = np.rint(np.cumsum(probabilities(code)) * chains).astype(int)
    a, b, e, c, d, f = code.reshape(-1, 6).astype(np.float32).repeat(np.diff(ends, prepend=0), axis=0).T.copy()
    shuffle = np.concatenate([rng.permutation(chains)] * 2)
    points = np.empty((2, steps, chains), np.float32)
    x, y = (np.full(chains, z, np.float32) for z in fixed_point(code[0]))
    scratch = np.empty(chains, np.float32)
    for step, turn in enumerate(rng.integers(0, chains, BURN_IN + steps).tolist(), start=-BURN_IN):
        drawn = shuffle[turn : turn + chains]
        x, y = x.take(drawn), y.take(drawn)
        out_x, out_y = points[:, max(step, 0)]
        transform(a, b, e, x, y, out_x, scratch)
        transform(c, d, f, x, y, out_y, scratch)
        x, y = out_x, out_y
    return points.reshape(2, -1)


def transform(a: Factor, b: Factor, e: Factor, x: Cloud, y: Cloud, out: Cloud, scratch: Cloud) -> None:
    """out = a x + b y + e, without a temporary."""
    np.multiply(x, a, out=out)
    np.multiply(y, b, out=scratch)
    out += scratch
    out += e


def compose(outer: Array, inner: Array) -> Array:
    """The maps z -> outer(inner(z)) of broadcastable arrays of maps (..., 2, 3)."""
    product = outer[..., :2] @ inner
    product[..., 2] += outer[..., 2]
    return np.asarray(product)


def pieces(code: Array, count: int) -> Array:
    """At least `count` compositions (m, 2, 3) of maps of `code` whose images of the attractor together are the attractor.

    The piece of the largest area is divided first, so that equally many points in every piece cover the whole evenly.
    """
    found = [np.eye(2, 3)]
    areas = [1.0]
    while len(found) < count:
        largest = areas.index(max(areas))
        divided = compose(found.pop(largest), code)
        areas.pop(largest)
        found.extend(divided)
        areas.extend(area(divided).tolist())
    return np.stack(found)


def area(maps: Array) -> Array:
    """|det A| (...) of maps (..., 2, 3): the share of an area that each keeps."""
    return np.abs(maps[..., 0, 0] * maps[..., 1, 1] - maps[..., 0, 1] * maps[..., 1, 0])


def rotations(rng: np.random.Generator, count: int) -> Array:
    """Uniform random rotations (count, 2, 2), from Gaussians: the last bits of trigonometry vary with the machine."""
    x, y = rng.standard_normal((2, count))
    length = np.sqrt(x * x + y * y)
    turns = np.empty((count, 2, 2))
    turns[:, 0, 0] = turns[:, 1, 1] = x / length
    turns[:, 1, 0] = y / length
    turns[:, 0, 1] = -turns[:, 1, 0]
    return turns
