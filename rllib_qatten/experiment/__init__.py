"""A YAML becomes a Tuner: data, file, checks, search, trackers, launch, progress, stopping."""
