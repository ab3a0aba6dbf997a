"""What training, sampling and reward models do alike with a language model and its tokenizer."""
