"""A trained team in pictures: battles, attention, video, one style."""
