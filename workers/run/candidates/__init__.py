"""The models that a job makes, one after another."""

from workers.run.candidates.candidate import Candidate
from workers.run.candidates.factory import CandidateFactory, timed_inputs

__all__ = ["Candidate", "CandidateFactory", "timed_inputs"]
