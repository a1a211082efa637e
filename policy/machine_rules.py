"""What a machine is made of: image, region, disk, root password; and that it can be taken away again."""

import re
from collections.abc import Iterable

from policy.declared import UNKNOWN, Declared
from policy.machines import LINODE, NOT_JUDGED, VULTR, machine
from policy.rule import Parameter, Rule, Settings, string_list

_LINODE_IMAGE = re.compile(r"linode/[a-z-]+[0-9][a-z0-9.-]*|private/[0-9]+")
_OUR_IMAGE = re.compile(r"host|[a-z0-9][a-z0-9.-]*[0-9][a-z0-9.-]*|/[^\n]+")
"""A path is a file of the computer that the machine runs on, and of whoever owns both."""
_OUR_DOWNLOAD = re.compile(r"(https://[^#@/]+|http://127\.0\.0\.1(:[0-9]+)?)/[^#\s]*#sha256=[0-9a-f]{64}")
"""Whatever its name says: the digest is what pins it."""
_UNPINNED_VULTR_SOURCES = ("appId", "imageId", "isoId", "ipxeChainUrl")
_VULTR_PLACEHOLDERS = frozenset({"124", "159", "164", "180", "186"})
"""Numbers that stand for "something else": Windows of one's own, custom, snapshot, backup, application."""
_ROOT_PASSWORDS = {LINODE: "rootPass", "linode:index/instanceDisk:InstanceDisk": "rootPass"}
_LOCK = "linode:index/lock:Lock"
_OURS = "gaxx:index:"


def image_pinned(resource: Declared, settings: Settings) -> Iterable[str]:
    """The image is one that stays what it is."""
    props = resource.props
    found = ""
    if resource.type == LINODE:
        found = _image_fault("image", props.get("image"), _LINODE_IMAGE)
    elif resource.type == VULTR:
        found = _vultr_image_fault(resource)
    elif machine(resource) and "image" in props:
        image = props["image"]
        if not (isinstance(image, str) and _OUR_DOWNLOAD.fullmatch(image)):
            found = _image_fault("image", image, _OUR_IMAGE)
    if found:
        yield found
    allowed = settings["images"]
    image = props.get("image") if resource.type == LINODE else props.get("osId")
    if allowed and not found and resource.type in (LINODE, VULTR) and str(image) not in allowed:
        yield f"image {image} is not among {', '.join(allowed)}"


def region_allowed(resource: Declared, settings: Settings) -> Iterable[str]:
    """A paid machine stands in a region of the list."""
    subject = machine(resource)
    if subject is None or not subject.paid:
        return
    if not isinstance(subject.region, str) or not subject.region:
        yield "region: not known at preview" if subject.region is UNKNOWN else "region: missing"
        return
    for allowed in (settings["regions"], settings["stackRegions"]):
        if allowed and subject.region not in allowed:
            yield f"region {subject.region} is not among {', '.join(allowed)}"


def disk_encrypted(resource: Declared, settings: Settings) -> Iterable[str]:
    """Linode's disks are encrypted unless somebody says otherwise; Vultr offers no such choice."""
    del settings
    encryption = resource.props.get("diskEncryption")
    if resource.type == LINODE and encryption not in (None, "enabled"):
        yield f"diskEncryption: {encryption if isinstance(encryption, str) else 'not known at preview'}"


def no_root_password(resource: Declared, settings: Settings) -> Iterable[str]:
    """Nobody chooses root's password: left out, the vendor's plugin takes a random one that nobody knows."""
    del settings
    key = _ROOT_PASSWORDS.get(resource.type, "")
    if resource.props.get(key):
        yield f"{key} is set"
    disks = resource.props.get("disks")
    for index, disk in enumerate(disks if isinstance(disks, list) else []):
        if resource.type == LINODE and isinstance(disk, dict) and disk.get("rootPass"):
            yield f"disks[{index}].rootPass is set"


def deletable(resource: Declared, settings: Settings) -> Iterable[str]:
    """Nothing ephemeral is protected from its own end."""
    del settings
    if resource.protected and (machine(resource) or resource.type.startswith(_OURS)):
        yield "protect is set"
    if resource.type == _LOCK:
        yield "a lock keeps a machine alive after its time"


def machines_judged(resource: Declared, settings: Settings) -> Iterable[str]:
    """No machine comes by a way that the other rules do not see."""
    if resource.type in NOT_JUDGED and resource.type not in settings["accepted"]:
        yield f"{resource.type} runs machines that no rule looks into"


def _image_fault(key: str, image: object, pinned: re.Pattern[str]) -> str:
    if image is UNKNOWN:
        return f"{key}: not known at preview"
    if not isinstance(image, str) or not image:
        return f"{key}: missing"
    if "latest" in image.lower() or not pinned.fullmatch(image):
        return f"{key} {image} is not pinned"
    return ""


def _vultr_image_fault(resource: Declared) -> str:
    props = resource.props
    unpinned = [key for key in _UNPINNED_VULTR_SOURCES if props.get(key) not in (None, "", 0)]
    if unpinned:
        return f"{unpinned[0]}: what it holds may change under the same name"
    image = props.get("snapshotId") or props.get("osId")
    if image is UNKNOWN:
        return "osId: not known at preview"
    if not image:
        return "osId: missing"
    if not props.get("snapshotId") and (not re.fullmatch(r"[0-9]+", str(image)) or str(image) in _VULTR_PLACEHOLDERS):
        return f"osId {image} names no operating system"
    return ""


RULES = (
    Rule(
        "image-pinned",
        "mandatory",
        "what was reviewed is what boots, next week too",
        "name a version: linode/debian12, or Vultr's osId 2136",
        one=image_pinned,
        parameters={"images": string_list("The only images that may be used; empty: any that is pinned.")},
    ),
    Rule(
        "region-allowed",
        "mandatory",
        "data stays in the countries that were agreed on",
        "move the fleet to a region of the list, or have the list changed (gaxx:allowedRegions, or regions of this "
        "rule in the pack's configuration)",
        one=region_allowed,
        parameters={
            "regions": string_list("Regions that machines may stand in; empty: any."),
            "stackRegions": Parameter(
                {"type": "array", "items": {"type": "string"}},
                [],
                "The stack's own gaxx:allowedRegions; set by the pack.",
            ),
        },
    ),
    Rule(
        "disk-encrypted",
        "mandatory",
        "a disk that was returned tells the next one nothing",
        "leave diskEncryption out or set it to enabled",
        one=disk_encrypted,
    ),
    Rule(
        "no-root-password",
        "mandatory",
        "a password can be guessed, and this one would stand in the state",
        "leave rootPass out; log in with keys",
        one=no_root_password,
    ),
    Rule(
        "nothing-protected",
        "mandatory",
        "a node that cannot be destroyed costs money for ever",
        "take protect (or the lock) away",
        one=deletable,
    ),
    Rule(
        "machines-judged",
        "mandatory",
        "no machine runs that these rules cannot see",
        "use instances, or list the type as accepted of this rule in the pack's configuration",
        one=machines_judged,
        parameters={"accepted": string_list("Types that run machines and are accepted unseen.")},
    ),
)
