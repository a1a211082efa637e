"""Joins a tap device of this network namespace to a virtual machine's network card. Only the standard library.

    bridge.py TAP FOLDER

QEMU connects to three sockets in FOLDER: frames for the guest go out at `in`, what the guest sends comes in at `out`,
and what is not for the tap goes on to QEMU's own network by `back`. Each frame has its length before it, in 4 bytes.
"""

import fcntl
import os
import selectors
import socket
import struct
import sys
from pathlib import Path

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
SOCKETS = ("in", "out", "back")


def main() -> None:
    """Pass frames on until QEMU hangs up."""
    name, folder = sys.argv[1:]
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    mac = bytes.fromhex(Path(f"/sys/class/net/{name}/address").read_text().replace(":", ""))
    listeners = {}
    for which in SOCKETS:
        listener = listeners[which] = socket.socket(socket.AF_UNIX)
        listener.bind(f"{folder}/{which}")
        Path(folder, which).chmod(0o666)
        listener.listen(1)
    print("ready", flush=True)  # noqa: T201 - that is what its starter waits for
    to_guest, from_guest, to_qemu = (listeners[which].accept()[0] for which in SOCKETS)
    waiting = selectors.DefaultSelector()
    waiting.register(tap, selectors.EVENT_READ)
    waiting.register(from_guest, selectors.EVENT_READ)
    received = b""
    while True:
        for key, _ in waiting.select():
            if key.fileobj == tap:
                frame = os.read(tap, 65536)
                to_guest.sendall(struct.pack("!I", len(frame)) + frame)
                continue
            data = from_guest.recv(1 << 20)
            if not data:
                return
            received += data
            while len(received) >= 4 and len(received) >= (end := 4 + int.from_bytes(received[:4])):
                frame, received = received[4:end], received[end:]
                if frame[:6] == mac or frame[0] & 1:
                    os.write(tap, frame)
                if frame[:6] != mac:
                    to_qemu.sendall(struct.pack("!I", len(frame)) + frame)


if __name__ == "__main__":
    main()
