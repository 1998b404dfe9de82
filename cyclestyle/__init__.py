"""Turn one set of pictures into another, without pairs: photos into Monets, and back."""
