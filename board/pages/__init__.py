"""The board's pages: rendered on the server with Jinja2; htmx replaces parts of them."""
