"""Runs one program that cannot outlive its owner, and as an unprivileged user when the owner is root.

Executed by path (`python -I -S launch.py ORDER`), never imported by the service: what it does to its
own user and signals must not happen inside a process with threads. ORDER is JSON: `argv`, the `folder`
the program writes in, and `uid` and `gid` when the user is to be changed.
Standard input carries signal numbers for the program, one byte each; its end says that the owner is gone.
Standard output carries one line, the program's pid. As the program's parent it can never signal a
stranger that was given the same pid.
"""

import ctypes
import json
import os
import signal
import sys
import threading
import time
from typing import NoReturn, TypedDict

CANNOT_RUN = 126  # what shells answer for a program that is there but may not be run
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# Fast shutdown, then immediate (recovery follows), then none: seconds of patience with each.
FAREWELL = ((signal.SIGINT, 60), (signal.SIGQUIT, 15), (signal.SIGKILL, 15))

# Linux: <linux/prctl.h>, <linux/capability.h>, <linux/securebits.h>.
PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_SET_SECUREBITS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 28, 47, 2
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_SETPCAP = 1, 2, 8
CAPABILITY_VERSION_3 = 0x20080522
NO_SETUID_FIXUP = 1 << 2


class Order(TypedDict):
    """What the owner asks for."""

    argv: list[str]
    folder: str
    uid: int | None
    gid: int | None


def prctl(option: int, *values: int) -> bool:
    padded = (*values, 0, 0, 0, 0)[:4]
    return bool(ctypes.CDLL(None).prctl(option, *(ctypes.c_ulong(value) for value in padded)) == 0)


def hold_capability(capability: int) -> bool:
    """Keep one capability over exec; False where this process was not given it."""
    libc, header, sets = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    libc.capget(header, sets)
    sets[0] = 1 << capability | 1 << CAP_SETPCAP  # effective; sets[1], what is permitted, stays
    sets[2] = 1 << capability  # inheritable
    # Without the secure bit access(2), by which PostgreSQL finds its own files, ignores capabilities.
    return (
        libc.capset(header, sets) == 0
        and prctl(PR_SET_SECUREBITS, NO_SETUID_FIXUP)
        and prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)
    )


def reachable(order: Order) -> bool:
    return os.access(order["argv"][0], os.R_OK | os.X_OK) and os.access(order["folder"], os.R_OK | os.W_OK | os.X_OK)


def drop_privileges(order: Order, *, uid: int, gid: int) -> None:
    """Become the user for good, keeping the least capability that lets it enter folders such as /root."""
    linux = sys.platform == "linux"
    if linux:
        prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([gid])
    os.setgid(gid)
    os.setuid(uid)
    if reachable(order):
        return  # exec drops every capability
    for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE):
        if linux and hold_capability(capability) and reachable(order):
            return
    raise PermissionError(f"user {uid} cannot reach {order['argv'][0]} and {order['folder']}")


def become(order: Order, *, parent: int) -> NoReturn:
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)
    for number in (*IGNORED, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    if order["uid"] is not None and order["gid"] is not None:
        drop_privileges(order, uid=order["uid"], gid=order["gid"])
    if sys.platform == "linux":
        # For kill -9 of this very process. It has no threads yet, and exec keeps the setting.
        prctl(PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != parent:
        os._exit(CANNOT_RUN)
    os.execv(order["argv"][0], order["argv"])  # noqa: S606  the owner, who is our only input, named the program


def obey_owner(program: int) -> None:
    while number := os.read(0, 1):
        os.kill(program, number[0])
    for farewell, patience in FAREWELL:
        os.kill(program, farewell)
        time.sleep(patience)


def main() -> NoReturn:
    order: Order = json.loads(sys.argv[1])
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    parent = os.getpid()
    program = os.fork()
    if program == 0:
        try:
            become(order, parent=parent)
        except OSError as error:
            os.write(2, f"cannot run {order['argv'][0]}: {error}\n".encode(errors="replace"))
        os._exit(CANNOT_RUN)
    os.write(1, b"%d\n" % program)
    os.dup2(2, 1)
    threading.Thread(target=obey_owner, args=(program,), daemon=True).start()
    _, status = os.waitpid(program, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
