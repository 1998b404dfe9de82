"""A trained generator put to work on videos."""
