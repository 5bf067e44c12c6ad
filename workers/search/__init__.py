"""Candidates: recipes tried one after another, and the choice among them."""
