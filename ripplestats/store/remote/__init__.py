"""A run whose files go to an object store: worked on in a copy on this machine, mirrored object by object."""
