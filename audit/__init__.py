"""What is asked, proven and corrected after the fact."""
