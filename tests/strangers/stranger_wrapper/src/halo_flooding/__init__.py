"""A loss around any other loss, which keeps it from falling too low."""
