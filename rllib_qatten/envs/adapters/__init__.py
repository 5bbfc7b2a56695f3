"""Other libraries' environments as team environments, and the way back."""
