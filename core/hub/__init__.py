"""Hugging Face Hub: names, accounts, downloads, pushes, and its errors as messages for users."""
