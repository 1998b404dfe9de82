"""A painter as one portable file: the graph, what it says of itself, and the proof that it paints the same."""
