"""Checkpoints: folders with checksums that are complete or absent, and resuming from them."""
