"""Files by the SHA-256 of their content: uploaded packages, and the droplets that builds make of them."""

from gongfang.blobs.interface import Blob, BlobStore
from gongfang.blobs.objects import ObjectBlobs

__all__ = ["Blob", "BlobStore", "ObjectBlobs"]
