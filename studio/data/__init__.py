"""The parts of the Data tab, assembled in studio/data_tab.py."""
