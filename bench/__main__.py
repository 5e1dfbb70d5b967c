"""Runs every measurement, one after the other, and says how noisy the machine was."""

import os
import sys

from bench import (
    attribution,
    btyd,
    campaigns,
    churn,
    clv,
    draining,
    features,
    full_features,
    import_file,
    ingest,
    kmeans,
    lookups,
    realtime,
    rollups,
    segments,
)

ALL = {
    "ingest": ingest.main,
    "import": import_file.main,
    "lookups": lookups.main,
    "features": features.main,
    "full_features": full_features.main,
    "kmeans": kmeans.main,
    "segments": segments.main,
    "btyd": btyd.main,
    "draining": draining.main,
    "realtime": realtime.main,
    "churn": churn.main,
    "clv": clv.main,
    "campaigns": campaigns.main,
    "attribution": attribution.main,
    "rollups": rollups.main,
}


def load() -> str:
    return ", ".join(f"{value:.1f}" for value in os.getloadavg())


def main() -> None:
    asked = sys.argv[1:] or list(ALL)
    print(f"# Tessera bench: {os.cpu_count()} cores, load before {load()}")
    for name in asked:
        ALL[name]()
    print(f"\nload after {load()}")


# What is learned is learned in processes that import this again.
if __name__ == "__main__":
    main()
