"""Hugging Face Hub: names, uploads, and its errors as messages for users."""
