"""The embedded data set: procedural landscapes, each with its photograph and the one painting that is its truth."""
