"""What several methods share: value functions, class weights, arguments and their checks."""
