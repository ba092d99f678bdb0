"""Which columns name files of the blob store. Backups take these files, and what no such column names may go.

A test compares the list with the tables: a column of digests that is not in it would lose its files.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BlobReference:
    table: str
    column: str


REFERENCES: tuple[BlobReference, ...] = (
    BlobReference("packages", "sha256"),
    BlobReference("droplets", "sha256"),
)
