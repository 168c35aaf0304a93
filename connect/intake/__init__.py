"""The intake: HTTP in, events that Kafka has acknowledged out. Pure from decide.py down; server.py is the shell."""
