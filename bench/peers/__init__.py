"""The same small job on other stream processors, beside our runtime, the product and the raw limit, in one run."""
