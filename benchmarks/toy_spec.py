"""The beginning of the specs of `crash_runs.py` and `unwritable.py`: a tiny model and its data."""

TINY = """\
name: toy
seed: 1
model:
  scratch:
    data: rows
    vocab_size: 280
    config:
      {hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 1,
       max_position_embeddings: 128}
data:
  rows: {use: toy, feedback: demonstration, size: 16}
  held: {use: toy, feedback: demonstration, size: 16, split: test}
"""
