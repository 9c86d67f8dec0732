"""Gradio widgets that could serve another app. They know gradio, pydantic and pandas, nothing of core or studio."""
