"""Layer by layer: each layer's weights are solved again from second-order statistics of the calibration data."""
