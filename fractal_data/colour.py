"""Colours with the covariance of photographs, for any number of channels."""

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float32]

SHADES = 256  # entries of a palette
CONTROL_COLOURS = 3  # colours that a palette passes through
BLEND = np.maximum(1 - np.abs(np.linspace(0, CONTROL_COLOURS - 1, SHADES) - np.arange(CONTROL_COLOURS)[:, None]), 0).astype(
    np.float32
)  # (CONTROL_COLOURS, SHADES): the share of each of them in a shade


def colour_basis(channels: int, correlation: float, saturation: float = 1.0) -> Table:
    """Columns (channels, channels) that turn independent unit variates into colours: luminance first, then chroma.

    The directions are the cosine basis, which for three channels is grey, yellow-blue and green-magenta: the principal
    axes of natural colour. Their variances give every channel variance 1 on average and pairs of channels the average
    correlation `correlation` in [0, 1]; chroma falls as 1 / k ** 2. `saturation` then multiplies chroma alone.
    """
    k, c = np.arange(channels)[:, None], np.arange(channels)
    directions = np.cos(np.pi * k * (2 * c + 1) / (2 * channels))
    directions /= np.sqrt(np.sum(directions**2, axis=1, keepdims=True))
    luminance = 1 + (channels - 1) * correlation
    chroma = 1 / np.arange(1, channels) ** 2
    variances = np.concatenate([[luminance], (channels - luminance) * chroma / max(chroma.sum(), 1)])
    variances[1:] *= saturation**2
    return np.asarray(directions.T * np.sqrt(variances), np.float32)


def mix(basis: Table, variates: Table) -> Table:
    """Colours (channels, ...) of independent variates (channels, ...); not @, where BLAS may split the sum among threads."""
    return np.asarray(np.einsum("ck,k...->c...", basis, variates))


def sample_colours(rng: np.random.Generator, basis: Table, count: int) -> Table:
    """Colours (channels, count) with mean 0 and the covariance of `basis`."""
    return mix(basis, rng.standard_normal((basis.shape[1], count), np.float32))


def sample_palette(rng: np.random.Generator, basis: Table) -> Table:
    """A walk (channels, SHADES) through random colours."""
    return mix(sample_colours(rng, basis, CONTROL_COLOURS), BLEND)
