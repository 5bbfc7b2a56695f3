"""Pictures of a trained team: battles, attention, video, in one style."""
