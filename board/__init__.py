"""What people look at: a read model of the topics in SQL, a JSON API and pages over it."""
