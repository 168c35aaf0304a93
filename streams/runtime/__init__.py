"""The runtime: batch transport on Faust, exactly-once tasks, recovery from changelogs, dead letters."""
