"""`python -m ffrtmp` is the console script."""

from ffrtmp.cli.app import main

if __name__ == "__main__":
    main()
