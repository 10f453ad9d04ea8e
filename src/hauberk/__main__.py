"""``python -m hauberk``."""

from hauberk.faces.cli.main import main

if __name__ == "__main__":
    main()
