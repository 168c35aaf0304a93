"""The runtime: batch transport on Faust, exactly-once task, changelog recovery, rejects."""
