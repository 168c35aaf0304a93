"""Commands for contract terms, maintenance windows and claims."""
