"""What runs inside the operators."""
