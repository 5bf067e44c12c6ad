"""The whole service as one command: its processes, and what supervises them."""
