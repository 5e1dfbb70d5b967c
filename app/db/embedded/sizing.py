"""Server settings that follow from the machine: durable first, then sized to its memory and disk."""

import os
import shutil
from pathlib import Path

MB = 1024**2
GB = 1024**3
# A container's own limit, cgroup version 2 and 1; the machine's memory is the wrong measure there.
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_bytes() -> int:
    """Memory that this process may use: the machine's, or less inside a limited container."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit in CGROUP_LIMITS:
        try:
            found.append(int(limit.read_text()))
        except (OSError, ValueError):
            continue
    return min(found)


def server_settings(folder: Path) -> dict[str, str]:
    """Settings for a cluster whose data lie in `folder`, named as in postgresql.conf."""
    memory, free = memory_bytes(), shutil.disk_usage(folder).free
    shared = _between(memory // 8, low=128 * MB, high=4 * GB)
    wal = _between(free // 4, low=256 * MB, high=(8 if memory >= 16 * GB else 4) * GB)
    return {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "wal_compression": "off",  # the build has neither lz4 nor zstd, and pglz costs more than it saves
        "shared_buffers": _mb(shared),
        "effective_cache_size": _mb(memory // 2),
        "work_mem": _mb(_between(memory // 512, low=4 * MB, high=64 * MB)),
        "maintenance_work_mem": _mb(_between(memory // 32, low=64 * MB, high=GB)),
        "wal_buffers": _mb(_between(shared // 32, low=16 * MB, high=64 * MB)),
        "min_wal_size": "256MB",
        "max_wal_size": _mb(wal),
        "checkpoint_timeout": "15min",
        "random_page_cost": "1.1",
        "jit": "off",
        "max_connections": "100",
        "autovacuum": "on",
        # A first load changes everything at once: let the planner know soon.
        "autovacuum_naptime": "10s",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %q%u@%d ",
    }


def _between(value: int, *, low: int, high: int) -> int:
    return max(low, min(value, high))


def _mb(value: int) -> str:
    return f"{value // MB}MB"
