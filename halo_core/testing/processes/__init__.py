"""The effects of code on its process: files, settings, clocks, chance and other processes."""
