"""Writes for one device what it is told to, and says how that ended.

A program of its own, run isolated and by path: it imports the standard library alone. A write to
`unbind` or `reset` may not return for as long as somebody uses the device; then we are left to it,
and keep the device's lock (descriptor 3) until it does.
"""

import os
import socket
import struct
import sys

TEXT_LIMIT = 4096


def obey(orders: socket.socket) -> None:
    """One order a message: a descriptor to write to, and the text. Until nobody gives orders."""
    while True:
        text, descriptors, _flags, _from = socket.recv_fds(orders, TEXT_LIMIT, 1)
        if not text or not descriptors:
            return
        errno = 0
        try:
            os.write(descriptors[0], text)
        except OSError as error:
            errno = error.errno or 5
        finally:
            os.close(descriptors[0])
        try:
            orders.send(struct.pack("<i", errno))
        except OSError:
            return  # whoever gave the order is gone; it is done


if __name__ == "__main__":
    obey(socket.socket(fileno=int(sys.argv[1])))
