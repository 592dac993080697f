"""``python -m tunebook``: the command line."""

from tunebook.cli.main import main

if __name__ == "__main__":
    main()
