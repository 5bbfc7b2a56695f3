"""A package of somebody else's, that brings an algorithm."""
