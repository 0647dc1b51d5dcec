"""Measurements of the whole system: they assert nothing about time, they show it."""
