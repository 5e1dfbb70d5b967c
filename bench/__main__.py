"""Runs every measurement, one after the other, and says how noisy the machine was."""

import os
import sys

from bench import features, import_file, ingest, lookups

ALL = {
    "ingest": ingest.main,
    "import": import_file.main,
    "lookups": lookups.main,
    "features": features.main,
}


def load() -> str:
    return ", ".join(f"{value:.1f}" for value in os.getloadavg())


def main() -> None:
    asked = sys.argv[1:] or list(ALL)
    print(f"# Tessera bench: {os.cpu_count()} cores, load before {load()}")
    for name in asked:
        ALL[name]()
    print(f"\nload after {load()}")


main()
