"""What computes here: the machine, its threads, and matrix products at their full speed."""
