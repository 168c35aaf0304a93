"""Commands that run one process of the product."""
