"""Schema changes, by Alembic. They run under the previous release; destructive steps take two releases."""
