"""Support policies: the file, its checks and its renderings."""
