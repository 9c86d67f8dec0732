"""The parts of the Chat tab, assembled in studio/chat_tab.py."""
