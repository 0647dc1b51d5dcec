"""The systems that are measured beside Clickproof, each as its own documentation would have it."""
