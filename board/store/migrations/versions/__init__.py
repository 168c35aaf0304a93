"""One module for each schema revision; released ones do not change."""
