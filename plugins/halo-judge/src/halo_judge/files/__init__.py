"""Files that people bring: outputs of models, and comparisons that were labelled."""
