"""Credits: contracts, impacts and maintenance become statements and credits, independently of incidents."""
