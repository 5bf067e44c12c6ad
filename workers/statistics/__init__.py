"""What may be concluded from samples: intervals, decisions, constraints."""
