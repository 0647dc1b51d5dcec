"""The counts, asked: a store loaded from the result topics, an API over it, and a page."""
