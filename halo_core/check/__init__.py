"""`halo check`: the rules of the test kit on installed components, without a line of test code."""
