"""A Debian 12 image for the `qemu` cloud, from Debian's own packages, where no cloud image can be downloaded."""
