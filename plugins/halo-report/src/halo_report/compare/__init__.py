"""`halo compare`: the numbers of several runs side by side, and the tests between them."""
