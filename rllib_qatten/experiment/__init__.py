"""From a YAML file to a running Tuner: data, file, checks, search, trackers, launch, progress."""
