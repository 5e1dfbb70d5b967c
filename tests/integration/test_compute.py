"""The processes that compute for a worker."""

import subprocess
import sys
from pathlib import Path

from tests.support.embedded_processes import lives, seconds_until

OWNER = """
import asyncio, os, time
from app.jobs.compute import Compute

async def main():
    compute = Compute(1)
    print(await compute.run(os.getpid), flush=True)
    await compute.run(time.sleep, 60)

asyncio.run(main())
"""
ENDS_WITHIN_SECONDS = 10


def test_kill_9_of_the_owner_ends_a_process_that_computes_for_it() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    with owner:
        assert owner.stdout
        computing = int(owner.stdout.readline())
        assert lives(computing)
        owner.kill()
    seconds_until(lambda: not lives(computing), within=ENDS_WITHIN_SECONDS)
