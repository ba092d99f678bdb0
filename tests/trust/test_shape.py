"""The slow part keeps the house rules of the others."""

from pathlib import Path


def test_every_module_says_what_it_proves() -> None:
    """What runs for minutes must tell a reader why; a module without a docstring is not accepted here."""
    for module in Path(__file__).parent.glob("test_*.py"):
        assert module.read_text().startswith('"""'), module.name
