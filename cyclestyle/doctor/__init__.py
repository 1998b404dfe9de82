"""What a machine lacks, found without any library: by the standard library of Python 3.8, and a process of its own."""
