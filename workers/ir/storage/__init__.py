"""Constants in the smallest lossless form that OpenVINO decodes by itself; docs/storage.md has the forms and their sizes."""

from workers.ir.storage.encode import Encoded, encode, encode_integers
from workers.ir.storage.entropy import constant_values, entropy_bits
from workers.ir.storage.graph import Graph
from workers.ir.storage.recode import recode

__all__ = ["Encoded", "Graph", "encode", "encode_integers", "entropy_bits", "recode", "constant_values"]
