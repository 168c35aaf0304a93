"""The notifier: routing, pages and requests (all pure), and workers that deliver alerts at least once."""
