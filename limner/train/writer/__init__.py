"""Training the prompt writer (DiffChat 3.2 and 3.3): it reads a prompt and an instruction and writes the new prompt.

`sft` teaches it by examples, `reward` learns scores of prompts, `ppo` sharpens it by them; `run` does one after the
other.
"""
