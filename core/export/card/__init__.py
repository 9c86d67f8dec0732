"""Cards of exported models: README.md with front matter for the Hub, curves, license files, and how to load the model.

`writing.card_files` makes the files of a card for every form of export; `front_matter` is the only place that builds
front matter. Texts that come from data, names or other models are escaped, so that they are no Markdown.
"""
