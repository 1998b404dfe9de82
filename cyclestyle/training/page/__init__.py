"""The page of a run: how the training went, for somebody who was not there."""
