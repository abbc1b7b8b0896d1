"""Experiments that run simulations of their own: `regime` compares depths of one network, `depth_limit` simulates the
equation that a network tends to as its depth grows (`euler` solves it)."""
