"""Chat: the base model and its adapters answer side by side, from one copy of the base's weights.

`types` defines what a lane is asked and its answer; `requests` resolves runs and adapters; `engine` queues questions
and owns the loaded model; `lanes` knows the model's prompts and ends and chooses a decoder: `cuda`, `decoder` or
`plain`. `generation_writer` turns tokens into text. `arbiter` shares the GPU between training, chat and evaluation.
"""
