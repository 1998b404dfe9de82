"""The classical ways of giving a photo a style: matching statistics of colours or of features."""
