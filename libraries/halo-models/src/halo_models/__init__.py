"""Language models and tokenizers, as training, sampling and reward models share them."""
