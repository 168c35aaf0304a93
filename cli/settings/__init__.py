"""Every setting of every process: the table for people, and the list of names that processes check."""
