"""The stage `gguf`: a model from a GGUF file, dequantised."""
