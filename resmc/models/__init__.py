"""Descriptions of networks: frozen records that say what a network is, and draw nothing.

Read in this order:

1. `activations`, `blocks`, `weights` - a record for each activation, residual block and weight law, read by all else.
2. `scaling`, `inputs` - how branches shrink with depth, and what enters the first layer.
3. `network` - what all networks have in common.
4. `resnet`, `residual_network` - the two spellings: log-Gaussian, and general.
5. `spelling` - from one spelling to the other, and from and to plain dictionaries.
"""
