"""From mounted data to a zip on time: training, painting and zipping as commands, by the clock."""
