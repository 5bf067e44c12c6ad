"""What a model is fed with while its layers are measured: fractals, a user's data, or synthetic values."""

from workers.calibration.datasets import Choice, from_dataset
from workers.calibration.fractal_samples import from_fractals
from workers.calibration.samples import Samples, split

__all__ = ["Choice", "Samples", "from_dataset", "from_fractals", "split"]
