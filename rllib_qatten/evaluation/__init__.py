"""Using a trained team: act, evaluate, export, analyze."""
