"""The product on this machine: `sla up`."""
