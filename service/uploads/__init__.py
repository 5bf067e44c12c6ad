"""Files on their way in: received, checked, placed, and inspected by a worker."""
