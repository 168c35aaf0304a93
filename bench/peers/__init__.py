"""The same small job on other stream processors, beside our shard, the product and the raw limit, in one run."""
