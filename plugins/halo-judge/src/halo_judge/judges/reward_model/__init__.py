"""The judge `reward-model`: a sequence classifier of transformers."""
