"""What an administrator decides once for the whole platform about domains."""

from enum import StrEnum


class IcpPolicy(StrEnum):
    """Whether a domain needs an ICP filing number (in mainland China the law asks for one; in a plant's own network
    there is none to have). Addresses under the platform's base domain are exempt."""

    required = "required"  # none can be bound or attached without one
    optional = "optional"
    absent = "absent"  # there are none here: one that is given is not kept


class HttpsMode(StrEnum):
    """How a domain is served once it has a certificate."""

    off = "off"  # plain HTTP only; no handshake for it
    optional = "optional"  # both
    redirect = "redirect"  # plain HTTP is answered with 308 to HTTPS, while a valid certificate is served
