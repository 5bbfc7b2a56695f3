"""Many runs together: read, statistics, figures, page."""
