"""Pictures as SVG text: pure functions, no style attributes, with a title and a description for screen readers."""
