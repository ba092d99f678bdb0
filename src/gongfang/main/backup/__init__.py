"""Backups: one file with all that a platform is, and the way from that file back to a platform.

`sealing` encrypts a stream, `archive` puts parts into it and proves them, `parts` says what there is to keep,
`write` makes a backup of a home, `restore` fills an empty home from one.
"""
