"""Folders with sums that are whole or not there, and going on from them."""
