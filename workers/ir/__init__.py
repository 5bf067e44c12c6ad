"""OpenVINO models: read, taken apart into layers, changed, written."""
