"""Request and response models, shared by server and client; the envelope. `STANDARD.md`'s names are fixed."""
