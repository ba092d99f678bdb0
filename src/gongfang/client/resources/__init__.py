"""The platform's nouns: one module a family, one method an endpoint, in the words of `docs/api-endpoints.md`."""
