"""The parts of the Answers tab."""
