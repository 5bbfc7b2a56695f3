"""What to do with a trained team: act, evaluate, export, watch."""
