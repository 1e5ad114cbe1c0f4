"""Asks the PSP one question through an inherited descriptor and prints the answer as JSON.

A program of its own, run isolated and by path: it imports the standard library alone.
"""

import array
import errno
import fcntl
import json
import struct
import sys

SEV_ISSUE_CMD = 0xC0105300  # _IOWR('S', 0, 16 bytes), linux/psp-sev.h
_NOT_CALLED = 0xFFFFFFFF


def question(descriptor: int, command: int, size: int) -> dict[str, object]:
    """Ask once and describe the answer as JSON."""
    try:
        # One question at a time on this machine, also across restarts of the agent.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return {"cannot": "an earlier question still waits for the PSP"}
    # Not ctypes: importing it needs memory that is writable and executable, which the service
    # forbids itself.
    buffer = array.array("B", bytes(size))
    request = bytearray(struct.pack("<IQI", command, buffer.buffer_info()[0], _NOT_CALLED))
    try:
        fcntl.ioctl(descriptor, SEV_ISSUE_CMD, request, True)
    except OSError as error:
        status = struct.unpack("<IQI", request)[2]
        firmware = status if error.errno in {errno.EIO, errno.EBUSY} else None
        return {"errno": errno.errorcode.get(error.errno or 0, "EIO"), "firmware": firmware}
    return {"hex": buffer.tobytes().hex()}


if __name__ == "__main__":
    print(json.dumps(question(*map(int, sys.argv[1:4]))))  # noqa: T201 - to our parent
