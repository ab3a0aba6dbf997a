"""The stage `label`: turns completions into feedback by what a judge says of them."""
