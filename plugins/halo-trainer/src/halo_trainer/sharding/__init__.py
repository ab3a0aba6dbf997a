"""How the weights of a model are spread over processes, through torch's `fully_shard`."""
