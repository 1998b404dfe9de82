"""Learning from two sets."""
