"""Battles of SMAC's maps, on StarCraft II or on SMAX."""
