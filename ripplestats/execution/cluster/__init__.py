"""The shards of one run on many machines: Ray starts the workers, this process hands out shards and writes them."""
