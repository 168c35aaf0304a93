"""History of other systems as events: status pages, ticket systems."""
