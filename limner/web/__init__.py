"""The HTTP service: a page, a JSON API, and the two APIs that other tools speak."""
