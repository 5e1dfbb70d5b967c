"""`python -m app.cli`, where the `tessera` command itself is not installed."""

from app.cli import main

if __name__ == "__main__":
    main()
