"""Parts of the Evaluate tab: the form, the view of an evaluation, its actions."""
