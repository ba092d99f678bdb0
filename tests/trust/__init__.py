"""What takes long: kills, hostile apps, whole backups, conformance of the real platform. `make test-trust`, after `make test`."""
