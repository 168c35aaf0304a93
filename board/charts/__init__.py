"""Pictures as SVG texts: pure functions, with names and descriptions for screen readers."""
