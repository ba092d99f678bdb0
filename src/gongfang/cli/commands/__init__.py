"""The commands: one module a family, imported when one of its commands runs."""
