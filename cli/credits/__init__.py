"""`sla credits`: tenants' months and their credits."""
