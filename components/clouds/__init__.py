"""Where nodes come from: one module a cloud behind one Protocol; this table is the only list of them."""

from components.clouds.base import Cloud
from components.clouds.linode import Linode
from components.clouds.local import Local
from components.clouds.qemu import Qemu
from components.clouds.vultr import Vultr
from components.errors import GaxxError

_CLOUDS: dict[str, Cloud] = {"linode": Linode(), "local": Local(), "qemu": Qemu(), "vultr": Vultr()}


def cloud(name: str) -> Cloud:
    """Return the cloud called `name`; raise GaxxError naming those that there are."""
    try:
        return _CLOUDS[name]
    except KeyError:
        message = f"cloud {name!r} cannot be used by this version; {', '.join(sorted(_CLOUDS))} can"
        raise GaxxError(message) from None
