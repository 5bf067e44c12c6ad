"""Telling other systems of ended jobs: where they may be told, and how it is delivered."""
