"""How good a set of painted pictures is: features, statistics, distances, and the card that shows them."""
