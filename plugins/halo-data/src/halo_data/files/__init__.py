"""Where rows lie: files on this machine, and data sets of the hub."""
