"""From a model to sums over networks: what the kernels are told, how they are run, on what."""
