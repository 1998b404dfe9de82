"""A painter as a page: a photo becomes a painting in the visitor's own browser, and goes nowhere."""
