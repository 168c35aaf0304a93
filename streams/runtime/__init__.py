"""The runtime: batch transport on Faust, exactly-once shard, changelog recovery, rejects."""
