"""Where pictures come from, and the forms they are handed over in."""
