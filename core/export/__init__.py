"""What leaves the studio: folders pushed to the Hub."""
