"""Take a trained model away from the studio."""
