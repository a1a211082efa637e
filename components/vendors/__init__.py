"""The two vendors' APIs, as far as we speak to them ourselves: find what carries our tags, and delete it.

Everything else is their own Pulumi plugins' work. Blocking: call it in a thread.
"""

import functools
import os

from components.rehearsal import VULTR_URL, checked_url
from components.vendors.api import Credentials, Prices, Vendor, VendorError
from components.vendors.found import KINDS, Found, Kind
from components.vendors.linode import LinodeApi
from components.vendors.vultr import VultrApi

__all__ = [
    "KINDS",
    "TOKENS",
    "Credentials",
    "Found",
    "Kind",
    "LinodeApi",
    "Prices",
    "Vendor",
    "VendorError",
    "VultrApi",
    "public",
    "vendor",
]

TOKENS = {"linode": "LINODE_TOKEN", "vultr": "VULTR_API_KEY"}
"""Vendor to the environment variable that holds its token."""


def vendor(name: str) -> Vendor | None:
    """The API of a vendor; None where its token is not in the environment."""
    token = os.environ.get(TOKENS[name], "")
    return _api(name, token) if token else None


def public(name: str) -> Vendor:
    """The API of a vendor for what it tells everybody, such as its prices; no token is sent."""
    return _api(name, "")


def _api(name: str, token: str) -> Vendor:
    if name == "linode":
        version = os.environ.get("LINODE_API_VERSION") or "v4"
        return _linode_api(f"{checked_url('LINODE_URL', 'https://api.linode.com')}/{version}/", token)
    return _vultr_api(f"{checked_url(VULTR_URL, 'https://api.vultr.com')}/v2/", token)


@functools.cache
def _linode_api(base: str, token: str) -> LinodeApi:
    return LinodeApi(base, token)


@functools.cache
def _vultr_api(base: str, token: str) -> VultrApi:
    return VultrApi(base, token)
