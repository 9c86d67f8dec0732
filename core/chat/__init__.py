"""Chat: the base and its adapters answer side by side, from one copy of the base's weights.

`answer` says what a lane is asked and answers, `asking` turns a person's choice into a ticket, `engine` queues tickets
and owns the model, `lanes` knows the model's prompts and ends, `decoder` steps rows of one batch, `adapters` gives each
row its own LoRA, `picking` draws tokens by the settings of `sampling`, `room` shares the GPU with runs.
"""
