"""What takes long: kills, hostile apps, whole backups, conformance. `make test-trust`, after `make test`."""
