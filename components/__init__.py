"""Gradio widgets that could serve another app. They know gradio, pydantic and Jinja2, nothing of core or studio."""
