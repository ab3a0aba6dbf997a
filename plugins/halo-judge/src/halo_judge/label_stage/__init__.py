"""The stage `label`: turns completions into feedback with a judge."""
