"""`halo compare`: the numbers of some runs next to each other, and the tests between them."""
