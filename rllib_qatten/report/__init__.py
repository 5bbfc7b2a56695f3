"""Reports over many runs: reading them, statistics, figures, page."""
