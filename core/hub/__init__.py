"""The Hugging Face Hub: names, and failures as sentences."""
