"""Machines of the `qemu` cloud: virtual machines on this computer, each with a kernel and a systemd of its own."""
