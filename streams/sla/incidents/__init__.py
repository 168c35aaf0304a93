"""Incidents: facts become classifications, SLA clocks, alerts and impact lists, independently of credits."""
