"""The commands of `fractune`, one file each, and what they share."""
