"""`python -m cyclestyle`, which is what `accelerate launch -m cyclestyle` runs."""

from cyclestyle.cli import main

if __name__ == "__main__":
    main()
