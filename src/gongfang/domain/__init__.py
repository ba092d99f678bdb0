"""What things *are*: frozen values, enums, transitions, events and errors. Standard library only; knows nobody."""
