"""Shared code of several methods: value functions, class weights, arguments and their checks."""
