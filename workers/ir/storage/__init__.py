"""Constants in the smallest lossless form that OpenVINO decodes by itself; docs/storage.md has the forms and their sizes."""

from workers.ir.storage.encode import Encoded, encode, encode_integers
from workers.ir.storage.entropy import entropy_bits, values_of
from workers.ir.storage.graph import Graph
from workers.ir.storage.recode import recode

__all__ = ["Encoded", "Graph", "encode", "encode_integers", "entropy_bits", "recode", "values_of"]
