"""One simulated shop that several tests look at."""

import pytest

from app.cli.demo.shop import Shop, simulate

# Larger than the demo, so that shares have small standard errors; still simulated in about a second.
CUSTOMERS = 20_000


@pytest.fixture(scope="session")
def shop() -> Shop:
    return simulate(11, customers=CUSTOMERS)
