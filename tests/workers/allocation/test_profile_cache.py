from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.workers.engine.test_sequential import residual_network
from workers.allocation.bit_profile import BitProfile, profile_bits
from workers.allocation.channel_profile import ChannelProfile, profile_channels
from workers.allocation.profile_cache import keep_profile, kept_profile
from workers.allocation.sensitivity_profile import SensitivityProfile, profile_sensitivities
from workers.ir.graph.layers import find_layers

LAYERS = find_layers(residual_network())[0][:3]
NAMES, SIZES, SENSITIVITIES = tuple(layer.name for layer in LAYERS), (3, 5, 7), (0.1, 1 / 3, 1e6)


@pytest.mark.parametrize(("profiler", "kind"), [(profile_sensitivities, SensitivityProfile), (profile_bits, BitProfile)])
def test_a_kept_profile_is_the_same_to_the_bit(tmp_path: Path, profiler: Any, kind: Any) -> None:
    profile = kind(NAMES, SIZES, SENSITIVITIES, np.random.default_rng(0).normal(size=(3, 4)))
    keep_profile(profile, tmp_path / "profile")
    again: Any = kept_profile(profiler, LAYERS, tmp_path / "profile")
    assert astuple(again)[:3] == astuple(profile)[:3]
    np.testing.assert_array_equal(astuple(again)[3], astuple(profile)[3])


def test_a_kept_profile_of_channels_too(tmp_path: Path) -> None:
    profile = ChannelProfile(NAMES, SENSITIVITIES)
    keep_profile(profile, tmp_path)
    assert kept_profile(profile_channels, LAYERS, tmp_path) == profile
    assert kept_profile(profile_bits, LAYERS, tmp_path) is None


def test_what_is_not_there_damaged_or_of_other_layers_is_made_anew(tmp_path: Path) -> None:
    assert kept_profile(profile_bits, LAYERS, tmp_path) is None
    keep_profile(BitProfile(NAMES, SIZES, SENSITIVITIES, np.ones((3, 4))), tmp_path)
    assert kept_profile(profile_bits, LAYERS[:2], tmp_path) is None
    assert kept_profile(profile_sensitivities, LAYERS, tmp_path) is None
    (tmp_path / "profile.npz").write_bytes(b"PK damaged")
    assert kept_profile(profile_bits, LAYERS, tmp_path) is None
